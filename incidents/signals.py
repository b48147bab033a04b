"""What monitoring calls: alerts open incidents, attach to them, and clear. Safe for two workers at once.

What spans two tables (an incident and its open signals) is serialised by locking the incident's row; SQLite
has no row locks and needs none, its transactions begin IMMEDIATE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from incidents import outbox
from incidents.errors import IncidentChanged
from incidents.lifecycle import move
from incidents.models import (
    OPEN_STATES,
    Incident,
    IncidentSignal,
    NotificationKind,
    Severity,
    State,
    TimelineKind,
)
from incidents.numbering import create_incident
from incidents.queue import enqueue_freeze
from incidents.timeline import record
from incidents.transitions import worse

#: The same fingerprint reopens an incident that was resolved less than this ago; later it is a recurrence.
REOPEN_WITHIN = timedelta(hours=24)
#: Tries of one signal against racing workers; each lost race means that another one made progress.
RACE_TRIES = 20


@dataclass(frozen=True, slots=True)
class Signalled:
    """Where a signal went: the incident, and whether it was opened or reopened by it."""

    incident: Incident
    opened: bool
    reopened: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signal:
    fingerprint: str
    key: str
    title: str
    service: str
    severity: str
    detail: Mapping[str, Any]
    at: datetime
    impact_started_at: datetime | None
    resolve_after_s: float | None

    @property
    def incident_title(self) -> str:
        """The title of an incident that this signal opens: ``SERVICE: SIGNAL``."""
        if not self.service or self.service in self.title:
            return self.title[:200]
        return f"{self.service}: {self.title}"[:200]


def signal(
    *,
    fingerprint: str,
    key: str,
    title: str,
    service: str,
    severity: Severity,
    detail: Mapping[str, Any],
    at: datetime,
    impact_started_at: datetime | None = None,
    resolve_after_s: float | None = None,
) -> Signalled:
    """Open the incident of ``fingerprint``, or attach this signal to the one that is open.

    An incident that was resolved within :data:`REOPEN_WITHIN` is reopened instead of opening another.
    Repeating an open ``key`` only refreshes its title and detail and may raise its severity.

    Raises:
        IncidentChanged: it lost :data:`RACE_TRIES` races in a row.
    """
    given = _Signal(
        fingerprint=fingerprint,
        key=key,
        title=title,
        service=service,
        severity=severity.value,
        detail=detail,
        at=at,
        impact_started_at=impact_started_at,
        resolve_after_s=resolve_after_s,
    )
    for _try in range(RACE_TRIES):
        try:
            with transaction.atomic():
                return _attach(given) or _reopen(given) or _open(given)
        except (IntegrityError, IncidentChanged):
            # Another worker took the number, opened this fingerprint or reopened it: look again.
            continue
    raise IncidentChanged(_("The incident of %(fingerprint)s kept changing.") % {"fingerprint": fingerprint})


def clear(*, fingerprint: str, key: str, at: datetime, reason: str = "") -> Incident | None:
    """Mark a signal cleared; the incident turns green when it was the last one.

    Returns the open incident, or None when no incident of this fingerprint has such an open signal.
    """
    with transaction.atomic():
        held = IncidentSignal.objects.filter(incident__fingerprint=fingerprint, key=key, cleared_at=None)
        row = held.first()
        if row is None:
            return None
        incident = Incident.objects.select_for_update().get(pk=row.incident_id)
        if not held.filter(pk=row.pk).update(cleared_at=at):
            return None
        record(incident=incident, kind=TimelineKind.CLEARED, at=at, key=key, title=row.title, reason=reason)
        if incident.is_open and not incident.signals.filter(cleared_at=None).exists():
            incident.green_since = at
            incident.save(update_fields=["green_since"])
        return incident if incident.is_open else None


def _attach(given: _Signal) -> Signalled | None:
    incident = (
        Incident.objects.select_for_update()
        .filter(fingerprint=given.fingerprint, state__in=OPEN_STATES)
        .first()
    )
    if incident is None:
        return None
    before = incident.severity
    incident.severity = worse(before, given.severity)
    known = incident.signals.filter(key=given.key, cleared_at=None).first()
    if known is not None:
        known.title, known.detail = given.title[:300], dict(given.detail)
        known.severity = worse(known.severity, given.severity)
        known.save(update_fields=["title", "detail", "severity"])
    if given.service and given.service not in incident.services:
        incident.services = [*incident.services, given.service]
    if given.resolve_after_s is not None:
        incident.resolve_after_s = given.resolve_after_s
    incident.green_since = None
    incident.save(update_fields=["severity", "services", "resolve_after_s", "green_since"])
    if known is None:
        _add_signal(incident, given)
        if incident.state == State.MITIGATED:
            back = State.ACKNOWLEDGED if incident.acknowledged_at else State.DETECTED
            move(incident, back, given.at, None, _("a new alert fired"), mitigated_at=None)
    if incident.severity != before:
        record(
            incident=incident,
            kind=TimelineKind.STATE,
            at=given.at,
            field="severity",
            old=before,
            new=incident.severity,
        )
    return Signalled(incident, opened=False)


def _reopen(given: _Signal) -> Signalled | None:
    last = Incident.objects.filter(
        fingerprint=given.fingerprint,
        state=State.RESOLVED,
        resolved_at__gte=given.at - REOPEN_WITHIN,
    ).order_by("-resolved_at")
    incident = last.first()
    if incident is None:
        return None
    won = Incident.objects.filter(pk=incident.pk, state=State.RESOLVED).update(
        state=State.DETECTED,
        severity=worse(incident.severity, given.severity),
        reopened=F("reopened") + 1,
        reopened_at=given.at,
        acknowledged_at=None,
        mitigated_at=None,
        resolved_at=None,
        green_since=None,
        frozen_at=None,
    )
    if not won:
        raise IncidentChanged(str(incident))
    incident.refresh_from_db()
    record(
        incident=incident,
        kind=TimelineKind.REOPENED,
        at=given.at,
        occurrence=incident.reopened,
        title=given.title,
    )
    _begin(incident, given)
    return Signalled(incident, opened=False, reopened=True)


def _open(given: _Signal) -> Signalled:
    previous = Incident.objects.filter(fingerprint=given.fingerprint).order_by("-number").first()
    window = settings.INCIDENT_RESOLVE_AFTER if given.resolve_after_s is None else given.resolve_after_s
    incident = create_incident(
        title=given.incident_title,
        fingerprint=given.fingerprint,
        services=[given.service] if given.service else [],
        severity=given.severity,
        impact_started_at=given.impact_started_at,
        opened_at=given.at,
        resolve_after_s=window,
        recurrence_of=previous,
    )
    record(
        incident=incident,
        kind=TimelineKind.OPENED,
        at=given.at,
        title=incident.title,
        severity=given.severity,
    )
    _begin(incident, given)
    return Signalled(incident, opened=True)


def _begin(incident: Incident, given: _Signal) -> None:
    """What every occurrence starts with: its signal, its opening message, its evidence."""
    _add_signal(incident, given)
    outbox.announce(incident=incident, kind=NotificationKind.OPENED, at=given.at)
    transaction.on_commit(partial(enqueue_freeze, incident.pk), robust=True)


def _add_signal(incident: Incident, given: _Signal) -> None:
    IncidentSignal.objects.create(
        incident=incident,
        key=given.key,
        title=given.title[:300],
        severity=given.severity,
        detail=dict(given.detail),
        opened_at=given.at,
    )
    record(
        incident=incident,
        kind=TimelineKind.SIGNAL,
        at=given.at,
        key=given.key,
        title=given.title,
        detail=dict(given.detail),
    )
