"""People join two incidents into one, or take alerts out of one into an incident of their own.

Nothing vanishes: a merged incident keeps its number, timeline, evidence and report, and says where it went.
Its alerts keep the fingerprint under which monitoring knows them, so they clear wherever they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from incidents.errors import IllegalMove, IncidentChanged, NotAllowed
from incidents.merging import drop_opening
from incidents.models import Incident, IncidentSignal, State, TimelineKind
from incidents.numbering import create_incident
from incidents.openings import announce
from incidents.timeline import record
from incidents.transitions import worse


def merge(
    *, source: Incident, target: Incident, at: datetime, actor: AbstractBaseUser | None, reason: str
) -> Incident:
    """Merge ``source`` into ``target`` and return that; open alerts move, the source is resolved as merged.

    Raises:
        NotAllowed: no reason, or both are one.
        IllegalMove: one of them is closed or merged already, or only the source is still open.
        IncidentChanged: the database refused a half of it; nothing was changed.
    """
    if not reason.strip():
        raise NotAllowed(_("Give a reason; it is kept."))
    if source.pk == target.pk:
        raise NotAllowed(_("An incident is not merged into itself."))
    with transaction.atomic():
        rows = _locked(source.pk, target.pk)
        source, target = rows[source.pk], rows[target.pk]
        for one in (source, target):
            _refuse_settled(one)
        if source.is_open and not target.is_open:
            raise IllegalMove(
                _("INC-%(number)d is not open any more; reopen it first.") % {"number": target.number}
            )
        moved = source.signals.filter(cleared_at=None).update(incident=target)
        _widen(target, source, burning=bool(moved))
        if source.is_open:
            # It ends as merged, without a message of its own.
            source.state, source.resolved_at, source.green_since = State.RESOLVED, at, at
            drop_opening(source, at)
        source.merged_into = target
        source.save(update_fields=["state", "resolved_at", "green_since", "merged_into"])
        Incident.objects.filter(merged_into=source).update(merged_into=target)
        for incident, way in ((source, {"into": target.number}), (target, {"from": source.number})):
            record(
                incident=incident,
                kind=TimelineKind.MERGED,
                at=at,
                actor=actor,
                alerts=moved,
                reason=reason,
                **way,
            )
    return target


def split(
    *,
    incident: Incident,
    signals: Collection[int],
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str,
) -> Incident:
    """Give the open alerts ``signals`` (primary keys) of ``incident`` a new incident and return that.

    It begins when the first of them fired and has the lead and the state of the old one; its evidence is
    frozen and its message written as for any other.

    Raises:
        NotAllowed: no reason, no alert chosen, or all of them.
        IllegalMove: the incident is not open.
        IncidentChanged: one of the alerts cleared or moved meanwhile; nothing was changed.
        IntegrityError: another worker took the number; call again.
    """
    if not reason.strip():
        raise NotAllowed(_("Give a reason; it is kept."))
    with transaction.atomic():
        incident = _locked(incident.pk)[incident.pk]
        if not incident.is_open:
            raise IllegalMove(_("Only an open incident is split."))
        firing = incident.signals.filter(cleared_at=None)
        chosen = list(firing.filter(pk__in=signals))
        if len(chosen) != len(set(signals)):
            raise IncidentChanged(_("One of the alerts cleared or moved meanwhile; look again."))
        if not chosen or len(chosen) == firing.count():
            raise NotAllowed(_("Choose at least one alert, and leave at least one."))
        fresh = _open_part(incident, chosen)
        firing.filter(pk__in=[one.pk for one in chosen]).update(incident=fresh)
        for one, way in ((incident, {"into": fresh.number}), (fresh, {"from": incident.number})):
            record(
                incident=one,
                kind=TimelineKind.SPLIT,
                at=at,
                actor=actor,
                titles=[signal.title for signal in chosen],
                reason=reason,
                **way,
            )
        announce(fresh, at)
    return fresh


def _locked(*pks: int) -> dict[int, Incident]:
    """Lock in the order of their keys, so that two merges never wait for each other."""
    rows = Incident.objects.select_for_update().filter(pk__in=pks).order_by("pk")
    return {row.pk: row for row in rows}


def _refuse_settled(incident: Incident) -> None:
    if incident.merged_into_id is not None:
        raise IllegalMove(_("INC-%(number)d was merged already.") % {"number": incident.number})
    if incident.state == State.CLOSED:
        raise IllegalMove(
            _("INC-%(number)d is closed; nothing of it is changed any more.") % {"number": incident.number}
        )


def _widen(target: Incident, source: Incident, *, burning: bool) -> None:
    target.severity = worse(target.severity, source.severity)
    target.services = [*target.services, *(name for name in source.services if name not in target.services)]
    starts = [moment for moment in (source.impact_started_at, target.impact_started_at) if moment]
    target.impact_started_at = min(starts, default=None)
    if burning:
        target.green_since = None
    target.save(update_fields=["severity", "services", "impact_started_at", "green_since"])


def _open_part(incident: Incident, chosen: Collection[IncidentSignal]) -> Incident:
    first = min(chosen, key=lambda one: one.opened_at)
    said = " ".join(f"{one.title} {one.detail.get('subject', '')}" for one in chosen)
    named = [name for name in incident.services if name in said] or list(incident.services)
    severity = first.severity
    for one in chosen:
        severity = worse(severity, one.severity)
    return create_incident(
        title=first.title[:200],
        # Its alerts keep their own; this one only has to be nobody else's.
        fingerprint=f"{incident.fingerprint[:180]}#{uuid.uuid4().hex[:12]}",
        services=named,
        severity=severity,
        state=incident.state,
        lead=incident.lead,
        opened_at=first.opened_at,
        acknowledged_at=incident.acknowledged_at,
        mitigated_at=incident.mitigated_at,
        impact_started_at=incident.impact_started_at,
        resolve_after_s=incident.resolve_after_s,
        split_from=incident,
    )
