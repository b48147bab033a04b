"""Sends again what a person asks for; who asked is kept."""

from __future__ import annotations

from datetime import datetime

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.db import models
from django.utils.translation import gettext as _

from incidents import routing, services
from incidents.models import Delivery, DeliveryState, Notification, TimelineKind

#: States in which a person may ask for another round of tries.
RETRIABLE = (*(DeliveryState.FAILED, DeliveryState.UNCERTAIN, DeliveryState.HELD, DeliveryState.CANCELLED),)


def retry(*, delivery: Delivery, at: datetime, actor: AbstractBaseUser, reason: str = "") -> bool:
    """Put one delivery back; False when it is on its way or was taken already."""
    mine = Delivery.objects.filter(pk=delivery.pk, state__in=RETRIABLE)
    if not mine.update(state=DeliveryState.PENDING, attempts=0, next_attempt_at=at, last_error=""):
        return False
    routing.summarise(delivery.message_id)
    _audit(delivery, delivery.message, at, actor, delivery.label, reason)
    return True


def retry_message(*, message: Notification, at: datetime, actor: AbstractBaseUser, reason: str = "") -> bool:
    """Put back every delivery of a message that failed, and a message that found no channel."""
    done = [
        retry(delivery=one, at=at, actor=actor, reason=reason)
        for one in message.deliveries.filter(state__in=(DeliveryState.FAILED, DeliveryState.UNCERTAIN))
    ]
    lost = Notification.objects.filter(pk=message.pk, state=DeliveryState.NO_CHANNEL)
    if lost.update(state=DeliveryState.PENDING, routed_at=None, next_attempt_at=at, last_error=""):
        _audit(message, message, at, actor, "", reason)
        return True
    return any(done)


def _audit(
    row: models.Model, message: Notification, at: datetime, actor: AbstractBaseUser, label: str, reason: str
) -> None:
    text = " · ".join(part for part in (_("Message sent again"), label, reason) if part)
    LogEntry.objects.log_actions(actor.pk, [row], CHANGE, change_message=text, single_object=True)
    if message.incident is not None:
        services.record(incident=message.incident, kind=TimelineKind.ACTION, at=at, actor=actor, text=text)
