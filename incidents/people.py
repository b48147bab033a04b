"""What people set on an incident: severity, lead, when the impact began, the star of a timeline event.

Each is one conditional UPDATE from the value that the person saw, with an entry on the timeline.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, User
from django.db import transaction
from django.utils.translation import gettext as _

from incidents.deeds import audited
from incidents.errors import IllegalMove, IncidentChanged, NotAllowed
from incidents.models import Incident, Severity, State, TimelineEvent, TimelineKind
from incidents.timeline import record

#: What somebody needs in order to lead an incident.
LEAD_PERMISSION = "incidents.change_incident"
#: Year before which no impact began: what is earlier is a slip, and no zone has the first hours of year 1.
EARLIEST = 2000


def change_severity(
    *, incident: Incident, severity: str, at: datetime, actor: AbstractBaseUser | None, reason: str
) -> Incident:
    """Set how bad it is. A later alert may raise it again; nothing lowers it but a person.

    Raises:
        NotAllowed: no reason, no such severity, or it is that already.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    _need_reason(reason)
    if severity not in Severity.values:
        raise NotAllowed(_("There is no such severity."))
    if severity == incident.severity:
        label = Severity(severity).label
        raise NotAllowed(_("The severity is “%(severity)s” already.") % {"severity": label})
    old = incident.severity
    with transaction.atomic():
        _change(incident, severity=severity)
        record(
            incident=incident,
            kind=TimelineKind.STATE,
            at=at,
            actor=actor,
            field="severity",
            old=old,
            new=severity,
            reason=reason,
        )
        before, after = {"severity": old}, {"severity": severity}
        audited(incident, "severity", at=at, actor=actor, reason=reason, before=before, after=after)
    return incident


def set_lead(
    *,
    incident: Incident,
    lead: User | None,
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str = "",
) -> Incident:
    """Take, assign, hand over or give up (``None``) the lead.

    Raises:
        NotAllowed: that person may not act on incidents, or leads already.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    if lead is not None and not (lead.is_active and lead.has_perm(LEAD_PERMISSION)):
        raise NotAllowed(_("%(person)s may not act on incidents.") % {"person": lead.get_username()})
    before = incident.lead
    if (before.pk if before else None) == (lead.pk if lead else None):
        raise NotAllowed(_("That is so already."))
    with transaction.atomic():
        _change(incident, lead=lead)
        record(
            incident=incident,
            kind=TimelineKind.LEAD,
            at=at,
            actor=actor,
            old=before.get_username() if before else "",
            new=lead.get_username() if lead else "",
            reason=reason,
        )
        was, now = ({"lead": one.get_username() if one else None} for one in (before, lead))
        audited(incident, "lead", at=at, actor=actor, reason=reason, before=was, after=now)
    return incident


def correct_impact(
    *, incident: Incident, started_at: datetime, at: datetime, actor: AbstractBaseUser | None, reason: str
) -> Incident:
    """Set when the impact began; the clocks are computed from it wherever they are shown.

    Raises:
        NotAllowed: no reason, a time in the future or before :data:`EARLIEST`, or one after the end.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    _need_reason(reason)
    if started_at.year < EARLIEST:
        raise NotAllowed(_("Give date and time as 2026-02-06 09:15."))
    if started_at > min(at, incident.resolved_at or at):
        raise NotAllowed(_("The impact cannot begin in the future or after its end."))
    old = incident.impact_started_at
    with transaction.atomic():
        _change(incident, impact_started_at=started_at)
        record(
            incident=incident,
            kind=TimelineKind.IMPACT,
            at=at,
            actor=actor,
            old=old.isoformat() if old else "",
            new=started_at.isoformat(),
            reason=reason,
        )
        was, now = ({"impact_started_at": one.isoformat() if one else None} for one in (old, started_at))
        audited(incident, "impact", at=at, actor=actor, reason=reason, before=was, after=now)
    return incident


def star(*, event: TimelineEvent, starred: bool, at: datetime, actor: AbstractBaseUser | None) -> bool:
    """Take an event into the report or out of it; False when it was so already."""
    with transaction.atomic():
        other = TimelineEvent.objects.filter(pk=event.pk).exclude(starred=starred)
        changed = bool(other.update(starred=starred))
        event.starred = starred
        if changed:
            verb = "star" if starred else "unstar"
            audited(event.incident, verb, at=at, actor=actor, after={"event": event.pk})
    return changed


def _need_reason(reason: str) -> None:
    if not reason.strip():
        raise NotAllowed(_("Give a reason; it is kept."))


def _change(incident: Incident, **fields: Any) -> None:
    """Write ``fields`` if they still are as the caller saw them and the incident is not closed."""
    if incident.state == State.CLOSED:
        raise IllegalMove(_("The incident is closed; nothing of it is changed any more."))
    seen = {name: getattr(incident, name) for name in fields}
    same = Incident.objects.filter(pk=incident.pk, **seen).exclude(state=State.CLOSED)
    if not same.update(**fields):
        raise IncidentChanged(_("Somebody else changed the incident first."))
    for name, value in fields.items():
        setattr(incident, name, value)
