"""Outbox of messages to people."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class NotificationKind(models.TextChoices):
    """What the message tells."""

    OPENED = "opened", _("Opened")
    RESOLVED = "resolved", _("Resolved")


class DeliveryState(models.TextChoices):
    """Where a message stands. ``no_channel`` waits for one to be set."""

    PENDING = "pending", _("Pending")
    SENT = "sent", _("Delivered")
    FAILED = "failed", _("Failed")
    NO_CHANNEL = "no_channel", _("No channel")


class Notification(models.Model):
    """One message for one occurrence of one incident.

    A worker claims it by a conditional UPDATE that also moves ``next_attempt_at`` ahead by the claim's
    lease; ``delivered_to`` holds the digests of the channels that took it, so that a retry skips them.
    """

    incident = models.ForeignKey(
        "incidents.Incident", models.CASCADE, related_name="notifications", verbose_name=_("incident")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=NotificationKind)
    occurrence = models.PositiveIntegerField(_("occurrence"), default=0)
    subject = models.CharField(_("subject"), max_length=250)
    body = models.TextField(_("body"))
    state = models.CharField(
        _("delivery"), max_length=16, choices=DeliveryState, default=DeliveryState.PENDING
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(_("created"))
    next_attempt_at = models.DateTimeField(_("next attempt"))
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    delivered_to = models.JSONField(_("delivered channels"), default=list, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "kind", "occurrence"], name="one_message_per_incident_event"
            ),
        ]
        indexes = [models.Index(fields=["state", "next_attempt_at"], name="notification_due")]

    def __str__(self) -> str:
        return self.subject
