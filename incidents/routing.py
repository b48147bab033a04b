"""Which channels get which message: severity, services, working hours, step of the escalation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils.translation import gettext as _

from incidents.models import (
    OPEN_STATES,
    WAITING,
    Channel,
    Delivery,
    DeliveryState,
    Notification,
    NotificationKind,
    State,
)

#: Messages routed in one run.
BATCH = 200
#: A message that found no channel goes out when one is set, if its incident still burns and it is younger.
NO_CHANNEL_AGE = timedelta(hours=24)
#: Kinds that only make sense while nobody took the incident.
CHASING = (NotificationKind.REMINDER,)


def choose(message: Notification, channels: Sequence[Channel], now: datetime) -> list[Channel]:
    """Return the channels of a message, in their order.

    When nobody is on duty everybody whom it concerns is told, and when nobody is told at once the first
    step of the escalation is: hours and steps never swallow the only message.
    """
    if message.incident is None:
        return []
    incident = message.incident
    concerned = [one for one in channels if one.wants(incident.severity, incident.services)]
    on_duty = [one for one in concerned if one.is_on_duty(now)] or concerned
    step = message.sequence if message.kind == NotificationKind.REMINDER else 0
    first = min((one.step for one in on_duty), default=0)
    chosen = [one for one in on_duty if one.step <= max(step, first)]
    if message.kind in (NotificationKind.RESOLVED, NotificationKind.CHANGED):
        told = set(
            Delivery.objects.filter(
                message__incident=incident, message__occurrence=message.occurrence
            ).values_list("channel_id", flat=True)
        )
        if told:
            add = chosen if message.kind == NotificationKind.CHANGED else []
            chosen = [one for one in channels if one.pk in told or one in add]
    return chosen


def route(now: datetime, channels: Sequence[Channel]) -> list[Notification]:
    """Give every message that is due its deliveries; return those that found no channel."""
    _cancel(now)
    if channels:
        _requeue(now, channels)
    due = Notification.objects.filter(
        state=DeliveryState.PENDING, routed_at=None, next_attempt_at__lte=now
    ).select_related("incident")
    lost = []
    for message in due.order_by("created_at", "pk")[:BATCH]:
        if chosen := choose(message, channels, now):
            add(message, chosen, now)
            Notification.objects.filter(pk=message.pk, routed_at=None).update(routed_at=now)
            continue
        error = _("No channel is for it.") if channels else _("No channel is configured.")
        if Notification.objects.filter(pk=message.pk, routed_at=None, state=DeliveryState.PENDING).update(
            state=DeliveryState.NO_CHANNEL, last_error=error
        ):
            lost.append(message)
    _route_late(now, channels)
    return lost


def add(message: Notification, channels: Iterable[Channel], now: datetime, *, instead: bool = False) -> None:
    """Write a delivery for each channel that has none of this message yet."""
    Delivery.objects.bulk_create(
        [
            Delivery(message=message, channel=one, label=one.name, next_attempt_at=now, instead=instead)
            for one in channels
        ],
        ignore_conflicts=True,
    )


def next_channel(message: Notification, channels: Sequence[Channel], now: datetime) -> Channel | None:
    """Return the channel to be told because another failed: the first one without this message."""
    if message.incident is None:
        return None
    has = set(Delivery.objects.filter(message=message).values_list("channel_id", flat=True))
    left = [
        one
        for one in channels
        if one.pk not in has and one.wants(message.incident.severity, message.incident.services)
    ]
    left.sort(key=lambda one: (not one.is_on_duty(now), one.step, one.position, one.pk))
    return left[0] if left else None


def _cancel(now: datetime) -> None:
    """Drop reminders that were not sent before somebody took the incident."""
    stale = Delivery.objects.filter(state=DeliveryState.PENDING, message__kind__in=CHASING).exclude(
        message__incident__state=State.DETECTED, message__incident__reopened=F("message__occurrence")
    )
    messages = list(stale.values_list("message_id", flat=True)[:BATCH])
    if messages:
        Delivery.objects.filter(message__in=messages, state=DeliveryState.PENDING).update(
            state=DeliveryState.CANCELLED
        )
        for pk in set(messages):
            summarise(pk)
    Notification.objects.filter(
        Q(kind__in=CHASING, state=DeliveryState.PENDING, routed_at=None) & ~Q(incident__state=State.DETECTED)
    ).update(state=DeliveryState.CANCELLED)


def _requeue(now: datetime, channels: Sequence[Channel]) -> None:
    """Take up again what found no channel when it was due and finds one now."""
    lost = Notification.objects.filter(
        state=DeliveryState.NO_CHANNEL,
        kind=NotificationKind.OPENED,
        incident__state__in=OPEN_STATES,
        incident__reopened=F("occurrence"),
        created_at__gte=now - NO_CHANNEL_AGE,
    ).select_related("incident")
    found = [message.pk for message in lost.order_by("-pk")[:BATCH] if choose(message, channels, now)]
    Notification.objects.filter(pk__in=found, state=DeliveryState.NO_CHANNEL).update(
        state=DeliveryState.PENDING, routed_at=None, next_attempt_at=now
    )


def _route_late(now: datetime, channels: Sequence[Channel]) -> None:
    """Tell channels whom an incident concerns by now: it got worse or wider, or their hours began."""
    unheard = Notification.objects.filter(
        kind=NotificationKind.OPENED,
        routed_at__lt=now,
        routed_at__gte=now - NO_CHANNEL_AGE,
        incident__state=State.DETECTED,
        incident__reopened=F("occurrence"),
    ).select_related("incident")
    for message in unheard.prefetch_related("deliveries").order_by("-pk")[:BATCH]:
        has = {one.channel_id for one in message.deliveries.all()}
        missing = [one for one in choose(message, channels, now) if one.pk not in has]
        if missing:
            add(message, missing, now)
            summarise(message.pk)


def summarise(message_pk: int) -> None:
    """Write into a message what its deliveries add up to."""
    found = list(Delivery.objects.filter(message=message_pk).values_list("state", "delivered_at"))
    states = {state for state, _at in found}
    if states & set(WAITING):
        state = DeliveryState.PENDING
    else:
        order = (
            *(DeliveryState.SENT, DeliveryState.HELD, DeliveryState.UNCERTAIN, DeliveryState.FAILED),
            DeliveryState.CANCELLED,
        )
        state = next((one for one in order if one in states), DeliveryState.NO_CHANNEL)
    first = min((at for _state, at in found if at is not None), default=None)
    Notification.objects.filter(pk=message_pk).update(state=state, delivered_at=first)
