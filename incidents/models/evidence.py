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
    AFTER = "after", _("Metrics of the 30 minutes after")


class Trigger(models.TextChoices):
    """Why a copy was made."""

    OPENING = "opening", _("Incident opened")
    ACTION = "action", _("Before an action")
    DIE = "die", _("The service ended")
    AFTER = "after", _("30 minutes later")


class Evidence(models.Model):
    """One checksummed, redacted bundle. ``payload`` is zlib-compressed UTF-8 JSON, at most 5 MiB unpacked."""

    incident = models.ForeignKey(
        "incidents.Incident", models.CASCADE, related_name="evidence", verbose_name=_("incident")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=EvidenceKind)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    trigger = models.CharField(_("occasion"), max_length=16, choices=Trigger, default=Trigger.OPENING)
    continues = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="parts", verbose_name=_("second part of")
    )
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
