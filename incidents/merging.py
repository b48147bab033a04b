"""One cause, one incident: alerts that opened an incident of their own move into that of their cause."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext as _

from incidents.models import (
    OPEN_STATES,
    DeliveryState,
    Incident,
    IncidentSignal,
    Notification,
    NotificationKind,
    State,
    TimelineKind,
)
from incidents.outbox import FREEZE_GRACE
from incidents.timeline import record
from incidents.transitions import worse


def move_signals(*, source: Incident, target: Incident, keys: Collection[str], at: datetime) -> int:
    """Move the open signals ``keys`` of ``source`` into ``target``; return how many moved.

    A source that holds no open signal any more is resolved as merged, without a message: an opening message
    that still waits for the freeze is dropped, one that went out is answered by the target's.
    """
    with transaction.atomic():
        locked = Incident.objects.select_for_update().filter(pk__in=[source.pk, target.pk]).order_by("pk")
        rows = {row.pk: row for row in locked}
        source, target = rows[source.pk], rows[target.pk]
        if not (source.is_open and target.is_open):
            return 0
        moved = list(source.signals.filter(cleared_at=None, key__in=keys))
        for signal in moved:
            _move(signal, source, target, at)
        if moved:
            target.save(update_fields=["severity", "services", "impact_started_at", "green_since"])
            _close_empty(source, target, at)
    return len(moved)


def _move(signal: IncidentSignal, source: Incident, target: Incident, at: datetime) -> None:
    IncidentSignal.objects.filter(pk=signal.pk).update(cleared_at=at)
    target.severity = worse(target.severity, signal.severity)
    target.services = [*target.services, *(name for name in source.services if name not in target.services)]
    target.green_since = None
    starts = [moment for moment in (source.impact_started_at, target.impact_started_at) if moment]
    target.impact_started_at = min(starts, default=None)
    _row, created = IncidentSignal.objects.get_or_create(
        incident=target,
        origin=target.fingerprint,
        key=signal.key,
        cleared_at=None,
        defaults={
            "title": signal.title,
            "severity": signal.severity,
            "detail": signal.detail,
            "opened_at": signal.opened_at,
        },
    )
    record(
        incident=source,
        kind=TimelineKind.CLEARED,
        at=at,
        key=signal.key,
        title=signal.title,
        reason=_("moved to INC-%(number)d") % {"number": target.number},
    )
    if created:
        record(
            incident=target,
            kind=TimelineKind.SIGNAL,
            at=at,
            key=signal.key,
            title=signal.title,
            detail=dict(signal.detail),
        )


def _close_empty(source: Incident, target: Incident, at: datetime) -> None:
    if source.signals.filter(cleared_at=None).exists():
        return
    reason = _("merged into INC-%(number)d") % {"number": target.number}
    old = source.state
    Incident.objects.filter(pk=source.pk, state__in=OPEN_STATES).update(
        state=State.RESOLVED, resolved_at=at, green_since=at
    )
    record(
        incident=source, kind=TimelineKind.STATE, at=at, field="state", old=old, new="resolved", reason=reason
    )
    drop_opening(source, at)


def drop_opening(incident: Incident, at: datetime) -> None:
    """Drop an opening message that still waits for the freeze; its cause is told elsewhere."""
    Notification.objects.filter(
        incident=incident, kind=NotificationKind.OPENED, state=DeliveryState.PENDING, next_attempt_at__gt=at
    ).filter(created_at__gt=at - FREEZE_GRACE).delete()
