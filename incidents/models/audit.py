"""Who did what, to what, why, and what changed: rows that are only ever added."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class AppendOnly(TypeError):
    """Audit entries are added by ``incidents.audit.record``; nobody changes or removes one."""


class AppendOnlyQuerySet(models.QuerySet["AuditEntry"]):
    """Reads only."""

    def update(self, **_values: Any) -> NoReturn:
        """Refuse."""
        raise AppendOnly("audit entries cannot be changed")

    def delete(self) -> NoReturn:
        """Refuse."""
        raise AppendOnly("audit entries cannot be removed; audit.prune() removes what is too old")

    def bulk_create(self, objs: Iterable[Any], *_args: Any, **_options: Any) -> NoReturn:
        """Refuse: each row is chained to the one before."""
        raise AppendOnly("add audit entries with incidents.audit.record()")

    def bulk_update(self, objs: Iterable[Any], *_args: Any, **_options: Any) -> NoReturn:
        """Refuse."""
        raise AppendOnly("audit entries cannot be changed")


class AuditEntry(models.Model):
    """One deed. ``mac`` covers every other column, among them the MAC of the row before.

    The values before and after are kept as the JSON text that was signed: a JSON column may store another
    text than it was given. The person's name is copied, and no constraint ties the row to the account.
    """

    seq = models.PositiveBigIntegerField(_("number"), primary_key=True)
    at = models.DateTimeField(_("time"))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        null=True,
        blank=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("person"),
    )
    actor_name = models.CharField(_("name"), max_length=150, blank=True)
    action = models.CharField(_("action"), max_length=64)
    target = models.CharField(_("target"), max_length=200, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    before_json = models.TextField(_("before"), blank=True)
    after_json = models.TextField(_("after"), blank=True)
    key_id = models.CharField(_("key"), max_length=16)
    previous = models.CharField(_("code of the row before"), max_length=64)
    mac = models.CharField(_("code"), max_length=64)

    objects = models.Manager.from_queryset(AppendOnlyQuerySet)()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        ordering = ["-seq"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["action", "seq"], name="audit_action"),
            models.Index(fields=["target", "seq"], name="audit_target"),
            models.Index(fields=["actor_name", "seq"], name="audit_actor"),
            models.Index(fields=["at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action} {self.target}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert a new row.

        Raises:
            AppendOnly: the row exists.
        """
        if not self._state.adding:
            raise AppendOnly("audit entries cannot be changed")
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse."""
        raise AppendOnly("audit entries cannot be removed; audit.prune() removes what is too old")

    @property
    def before(self) -> dict[str, Any] | None:
        """The values before, None when none were given."""
        return json.loads(self.before_json) if self.before_json else None

    @property
    def after(self) -> dict[str, Any] | None:
        """The values after, None when none were given."""
        return json.loads(self.after_json) if self.after_json else None


class AuditHead(models.Model):
    """The one row whose lock puts writers in line; it names the newest entry."""

    seq = models.PositiveBigIntegerField(default=0)
    mac = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("end of the audit")
        verbose_name_plural = _("end of the audit")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.seq)
