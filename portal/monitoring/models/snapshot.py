"""Configurations that a service was started with."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.monitoring.models.service import Service


class ConfigSnapshot(models.Model):
    """One configuration of a service, however often it was started with it; at most 50 kept of each.

    ``config`` is allow-listed: environment names without values, labels masked.
    """

    service = models.ForeignKey(Service, models.CASCADE, related_name="snapshots", verbose_name=_("service"))
    content_hash = models.CharField(_("content hash"), max_length=64)
    config = models.JSONField(_("configuration"), default=dict)
    starts = models.PositiveIntegerField(_("starts"), default=1)
    first_at = models.DateTimeField(_("first started"))
    last_at = models.DateTimeField(_("last started"))

    class Meta:
        verbose_name = _("configuration snapshot")
        verbose_name_plural = _("configuration snapshots")
        ordering = ["-last_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["service", "content_hash"], name="one_snapshot_per_configuration")
        ]

    def __str__(self) -> str:
        return f"{self.service_id} {self.content_hash[:12]}"
