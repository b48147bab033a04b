"""Probers elsewhere: each holds a token and reports on the endpoints that name it."""

from __future__ import annotations

import hashlib
import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

#: How a token is told from other secrets at a glance.
TOKEN_PREFIX = "bonghwa-prober-"  # noqa: S105 - a prefix, not a secret


def digest(token: str) -> str:
    """Return the SHA-256 of ``token`` in hexadecimal; with 256 random bits a slow hash would add nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


class Prober(models.Model):
    """A prober that pushes results. Its token is shown once and kept as a hash."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    note = models.CharField(
        _("where it runs"),
        max_length=200,
        blank=True,
        help_text=_("E.g. a small server at another provider."),
    )
    token_digest = models.CharField(_("token hash"), max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)

    history = HistoricalRecords(excluded_fields=["token_digest", "last_used_at"])

    class Meta:
        verbose_name = _("prober")
        verbose_name_plural = _("probers")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def make_token(self) -> str:
        """Give the row a new token and return it; the caller saves and shows it once."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        self.token_digest = digest(token)
        return token
