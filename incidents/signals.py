"""What monitoring calls: alerts open incidents, attach to them, and clear. Safe for two workers at once.

What spans two tables (an incident and its open signals) is serialised by locking the incident's row; SQLite
has no row locks and needs none, its transactions begin IMMEDIATE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from incidents.errors import IncidentChanged
from incidents.lifecycle import fall_back
from incidents.models import OPEN_STATES, Incident, IncidentSignal, Severity, State, TimelineKind
from incidents.openings import Given, add_signal, open_new, reopen
from incidents.timeline import record
from incidents.transitions import worse

#: Tries of one signal against racing workers; each lost race means that another one made progress.
RACE_TRIES = 20


@dataclass(frozen=True, slots=True)
class Signalled:
    """Where a signal went: the incident, and whether it was opened or reopened by it."""

    incident: Incident
    opened: bool
    reopened: bool = False


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
    given = Given(
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
                if (incident := _attach(given)) is not None:
                    return Signalled(incident, opened=False)
                if (incident := reopen(given)) is not None:
                    return Signalled(incident, opened=False, reopened=True)
                return Signalled(open_new(given), opened=True)
        except (IntegrityError, IncidentChanged):
            # Another worker took the number, opened this fingerprint or reopened it: look again.
            continue
    raise IncidentChanged(_("The incident of %(fingerprint)s kept changing.") % {"fingerprint": fingerprint})


def clear(*, fingerprint: str, key: str, at: datetime, reason: str = "") -> Incident | None:
    """Mark a signal cleared; the incident turns green when it was the last one.

    Returns the open incident, or None when this fingerprint has no such open signal anywhere.

    Raises:
        IncidentChanged: it lost :data:`RACE_TRIES` races in a row.
    """
    held = IncidentSignal.objects.filter(origin=fingerprint, key=key, cleared_at=None)
    for _try in range(RACE_TRIES):
        with transaction.atomic():
            row = held.first()
            if row is None:
                return None
            incident = Incident.objects.select_for_update().get(pk=row.incident_id)
            # It may have moved to another incident before the lock was ours: look again.
            if not held.filter(pk=row.pk, incident=incident).update(cleared_at=at):
                continue
            record(
                incident=incident, kind=TimelineKind.CLEARED, at=at, key=key, title=row.title, reason=reason
            )
            if incident.is_open and not incident.signals.filter(cleared_at=None).exists():
                incident.green_since = at
                incident.save(update_fields=["green_since"])
            return incident if incident.is_open else None
    raise IncidentChanged(_("The incident of %(fingerprint)s kept changing.") % {"fingerprint": fingerprint})


def _attach(given: Given) -> Incident | None:
    incident = _holder(given)
    if incident is None:
        return None
    before = incident.severity
    incident.severity = worse(before, given.severity)
    known = incident.signals.filter(origin=given.fingerprint, key=given.key, cleared_at=None).first()
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
        add_signal(incident, given)
        if incident.state == State.MITIGATED:
            # The caller may hold other incidents, and must not also stand in the audit's line.
            fall_back(incident, given.at, None, _("a new alert fired"), audit_later=True)
    if incident.severity != before:
        record(
            incident=incident,
            kind=TimelineKind.STATE,
            at=given.at,
            field="severity",
            old=before,
            new=incident.severity,
        )
    return incident


def _holder(given: Given) -> Incident | None:
    """Lock and return the open incident that this alert belongs to: where it was moved to, or its cause's.

    An alert of a cause whose incident was merged goes to the incident that survived, while that is open.
    """
    open_now = Incident.objects.select_for_update().filter(state__in=OPEN_STATES)
    moved = IncidentSignal.objects.filter(origin=given.fingerprint, key=given.key, cleared_at=None)
    survivors = Incident.objects.filter(fingerprint=given.fingerprint).values("merged_into")
    for wanted in (
        Q(pk__in=moved.values("incident")),
        Q(fingerprint=given.fingerprint),
        Q(pk__in=survivors),
    ):
        if (incident := open_now.filter(wanted).order_by("-pk").first()) is not None:
            return incident
    return None
