"""Moves of an incident from state to state: legal ones only, by conditional UPDATEs, on the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from incidents import closing, deeds, outbox
from incidents.errors import IllegalMove, IncidentChanged, NotAllowed, StillFiring
from incidents.models import (
    OPEN_STATES,
    Incident,
    IncidentSignal,
    NotificationKind,
    State,
    TimelineKind,
)
from incidents.timeline import record
from incidents.transitions import is_legal


def resolve_green(*, now: datetime) -> list[Incident]:
    """Resolve every open incident that has been green for its window."""
    resolved = []
    for incident in Incident.objects.filter(state__in=OPEN_STATES, green_since__isnull=False):
        green = (now - (incident.green_since or now)).total_seconds()
        if green >= incident.resolve_after_s and _resolve_if_green(incident, now):
            resolved.append(incident)
    return resolved


def acknowledge(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Record that somebody took it.

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    return move(incident, "acknowledge", State.ACKNOWLEDGED, at, actor, reason, acknowledged_at=at)


def mitigate(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Record that the pain stopped though the cause is not known to be gone (a restart, for example).

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    return move(incident, "mitigate", State.MITIGATED, at, actor, reason, mitigated_at=at)


def unmitigate(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Record that the pain did not stop after all: it is acknowledged again, or only detected.

    Raises:
        NotAllowed: no reason.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    if not reason.strip():
        raise NotAllowed(_("Give a reason; it is kept."))
    return fall_back(incident, at, actor, reason)


def unmitigate_if_firing(*, incident: Incident, since: datetime, at: datetime, reason: str) -> bool:
    """Take back a mitigation made until ``since`` while an alert of the incident is open; False otherwise.

    What somebody declared mitigated after ``since`` knows more than the look that calls this.
    """
    with transaction.atomic():
        # The lock keeps a clearing alert and a person away between the look and the move.
        held = Incident.objects.select_for_update().get(pk=incident.pk)
        stopped = held.mitigated_at if held.state == State.MITIGATED else None
        if stopped is None or stopped > since or not held.signals.filter(cleared_at=None).exists():
            return False
        unmitigate(incident=held, at=at, reason=reason)
    return True


def resolve(
    *,
    incident: Incident,
    at: datetime,
    actor: AbstractBaseUser | None = None,
    reason: str = "",
    force: bool = False,
) -> Incident:
    """Resolve by hand. ``force`` also clears alerts that are still open.

    Raises:
        StillFiring: alerts are open and ``force`` is false.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    with transaction.atomic():
        Incident.objects.select_for_update().get(pk=incident.pk)
        firing = incident.signals.filter(cleared_at=None)
        if not force and (count := firing.count()):
            raise StillFiring(_("%(count)d alerts are still open.") % {"count": count})
        for row in firing:
            record(
                incident=incident,
                kind=TimelineKind.CLEARED,
                at=at,
                actor=actor,
                key=row.key,
                title=row.title,
                reason=reason,
            )
        firing.update(cleared_at=at)
        move(incident, "resolve", State.RESOLVED, at, actor, reason, resolved_at=at)
        outbox.announce(incident=incident, kind=NotificationKind.RESOLVED, at=at)
    return incident


def review(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Record that the report was reviewed.

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    return move(incident, "review", State.REVIEWED, at, actor, reason, reviewed_at=at)


def unreview(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Take the review back, because the report has to change.

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    return move(incident, "unreview", State.RESOLVED, at, actor, reason, reviewed_at=None)


def close(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Close it for good.

    Raises:
        PreventionOpen: a P0 measure is neither verified nor waived.
        NotReviewed: it was critical and nobody reviewed its report.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    with transaction.atomic():
        # The lock keeps a merge and a reopening away between the look and the move.
        Incident.objects.select_for_update().get(pk=incident.pk)
        if is_legal("close", incident.state):
            closing.check(incident)
        return move(incident, "close", State.CLOSED, at, actor, reason, closed_at=at)


def fall_back(
    incident: Incident,
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str,
    *,
    audit_later: bool = False,
) -> Incident:
    """Move a mitigated incident back to what it was in this occurrence.

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    back = State.ACKNOWLEDGED if incident.acknowledged_at else State.DETECTED
    # Resolved, reopened and mitigated anew meanwhile, it is not the mitigation that was seen.
    seen = {"mitigated_at": incident.mitigated_at}
    return move(
        incident, "unmitigate", back, at, actor, reason, seen, audit_later=audit_later, mitigated_at=None
    )


def move(
    incident: Incident,
    call: str,
    to: State,
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str,
    seen: Mapping[str, Any] | None = None,
    *,
    audit_later: bool = False,
    **fields: Any,
) -> Incident:
    """Move to ``to`` and set ``fields`` with it, if ``call`` is legal and nobody moved it first.

    ``seen`` are values that the row has to have still. ``audit_later`` audits right after the transaction,
    for one that goes on to lock other incidents.

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    old = incident.state
    if not is_legal(call, old):
        raise IllegalMove(
            _("An incident that is “%(state)s” cannot become “%(to)s”.")
            % {"state": State(old).label, "to": to.label}
        )
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk, state=old, **(seen or {})).update(state=to, **fields):
            raise IncidentChanged(_("Somebody else changed the incident first."))
        for name, value in {"state": to, **fields}.items():
            setattr(incident, name, value)
        record(
            incident=incident,
            kind=TimelineKind.STATE,
            at=at,
            actor=actor,
            field="state",
            old=str(old),
            new=to.value,
            reason=reason,
        )
        deeds.moved(incident, call, str(old), to, at=at, actor=actor, reason=reason, later=audit_later)
    return incident


def _resolve_if_green(incident: Incident, now: datetime) -> bool:
    with transaction.atomic():
        Incident.objects.select_for_update().get(pk=incident.pk)
        firing = IncidentSignal.objects.filter(incident=OuterRef("pk"), cleared_at=None)
        won = Incident.objects.filter(
            ~Exists(firing), pk=incident.pk, state=incident.state, green_since=incident.green_since
        ).update(state=State.RESOLVED, resolved_at=now)
        if not won:
            return False
        green = (now - incident.green_since).total_seconds() if incident.green_since else 0.0
        old, incident.state, incident.resolved_at = incident.state, State.RESOLVED, now
        record(
            incident=incident,
            kind=TimelineKind.STATE,
            at=now,
            field="state",
            old=old,
            new="resolved",
            green_s=green,
        )
        outbox.announce(incident=incident, kind=NotificationKind.RESOLVED, at=now)
        deeds.moved(incident, "resolve", str(old), State.RESOLVED, at=now, actor=None)
    return True
