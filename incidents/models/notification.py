"""Outbox of messages to people, and the delivery of each to each channel."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class NotificationKind(models.TextChoices):
    """What the message tells."""

    OPENED = "opened", _("Opened")
    CHANGED = "changed", _("What changed")
    REMINDER = "reminder", _("Reminder")
    RESOLVED = "resolved", _("Resolved")
    DUE = "due", _("Overdue")
    DIGEST = "digest", _("Weekly digest")
    ROLLUP = "rollup", _("Roll-up")
    TEST = "test", _("Test")


class DeliveryState(models.TextChoices):
    """Where a message, or its delivery to one channel, stands.

    ``no_channel`` belongs to messages only, ``sending``, ``uncertain`` and ``cancelled`` to deliveries only.
    """

    PENDING = "pending", _("Pending")
    SENDING = "sending", _("Being sent")
    SENT = "sent", _("Delivered")
    HELD = "held", _("Held back")
    FAILED = "failed", _("Failed")
    UNCERTAIN = "uncertain", _("Perhaps delivered")
    CANCELLED = "cancelled", _("Not needed any more")
    NO_CHANNEL = "no_channel", _("No channel")


#: A worker still has something to do with it.
WAITING = (DeliveryState.PENDING, DeliveryState.SENDING)


class Notification(models.Model):
    """One message. ``state`` sums up its deliveries; ``content`` has its text in each language.

    Messages about an incident are unique by kind, occurrence and sequence; roll-ups and tests have no
    incident.
    """

    incident = models.ForeignKey(
        "incidents.Incident",
        models.CASCADE,
        related_name="notifications",
        null=True,
        blank=True,
        verbose_name=_("incident"),
    )
    kind = models.CharField(_("kind"), max_length=16, choices=NotificationKind)
    occurrence = models.PositiveIntegerField(_("occurrence"), default=0)
    sequence = models.PositiveIntegerField(_("sequence"), default=0)
    subject = models.CharField(_("subject"), max_length=250)
    body = models.TextField(_("body"))
    content = models.JSONField(default=dict, blank=True, editable=False)
    state = models.CharField(
        _("delivery"), max_length=16, choices=DeliveryState, default=DeliveryState.PENDING
    )
    created_at = models.DateTimeField(_("created"))
    next_attempt_at = models.DateTimeField(_("not before"))
    routed_at = models.DateTimeField(_("routed"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("first delivered"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "kind", "occurrence", "sequence"], name="one_message_per_incident_step"
            ),
            # The occurrence of a digest is its week; a digest belongs to no incident.
            models.UniqueConstraint(
                fields=["kind", "occurrence"], condition=Q(kind="digest"), name="one_digest_per_week"
            ),
        ]
        indexes = [models.Index(fields=["state", "next_attempt_at"], name="notification_due")]

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """One message to one channel: at most one row, and at most one that was taken.

    ``pending`` → (claim) ``sending`` → ``sent``, ``pending`` again, or ``failed``. The claim is committed
    before the network is touched. When the worker dies after it, nobody knows what the channel saw: the
    row becomes ``uncertain`` and is never sent again by itself. Signed webhooks are sent again, under the
    same ``uid``, by which the receiver drops a repetition.
    """

    message = models.ForeignKey(
        Notification, models.CASCADE, related_name="deliveries", verbose_name=_("message")
    )
    channel = models.ForeignKey(
        "incidents.Channel",
        models.SET_NULL,
        null=True,
        related_name="deliveries",
        verbose_name=_("channel"),
    )
    label = models.CharField(_("channel"), max_length=80)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    state = models.CharField(_("state"), max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    instead = models.BooleanField(
        _("instead of another"), default=False, help_text=_("Told because another channel failed.")
    )
    attempts = models.PositiveIntegerField(_("tries"), default=0)
    next_attempt_at = models.DateTimeField(_("next try"))
    claimed_at = models.DateTimeField(_("claimed"), null=True, blank=True)
    delivered_at = models.DateTimeField(_("delivered at"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=300, blank=True)
    rolled_up_by = models.ForeignKey(
        Notification,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="rolled_up",
        verbose_name=_("told in the roll-up"),
    )

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["message", "channel"], name="one_delivery_per_channel"),
        ]
        indexes = [
            models.Index(fields=["state", "next_attempt_at"], name="delivery_due"),
            models.Index(fields=["channel", "claimed_at"], name="delivery_by_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.get_state_display()}"
