"""Frozen copies of what was measured; exempt from retention."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class EvidenceKind(models.TextChoices):
    """Where the copy comes from."""

    METRICS = "metrics", _("Metrics")
    INSPECT = "inspect", _("Configuration")
    HEALTH = "health", _("Health log")
    LOGS = "logs", _("Log templates and tail")
    PROBES = "probes", _("Probe matrix")
    GATEWAY = "gateway", _("Gateway attempts")


class Evidence(models.Model):
    """One checksummed, redacted bundle. ``payload`` is zlib-compressed UTF-8 JSON, at most 5 MiB unpacked."""

    incident = models.ForeignKey(
        "incidents.Incident", models.CASCADE, related_name="evidence", verbose_name=_("incident")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=EvidenceKind)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    captured_at = models.DateTimeField(_("captured"))
    payload = models.BinaryField(_("payload"), editable=False)
    size = models.PositiveIntegerField(_("size (bytes)"))
    sha256 = models.CharField("SHA-256", max_length=64)
    partial = models.BooleanField(_("partial"), default=False)
    note = models.CharField(_("note"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")
        ordering = ["captured_at", "pk"]

    def __str__(self) -> str:
        return f"E{self.pk} {self.get_kind_display()} {self.subject}"
