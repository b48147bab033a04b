"""The only door through which an incident changes: keyword-only calls, conditional UPDATEs, one timeline.

``signal`` and ``clear`` are what monitoring calls; they are safe when two workers call them at once. What
spans two tables (an incident and its open signals) is serialised by locking the incident's row; SQLite
has no row locks and needs none, its transactions begin IMMEDIATE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Max, OuterRef
from django.utils.text import slugify
from django.utils.translation import gettext as _

from incidents import outbox
from incidents.errors import IllegalMove, IncidentChanged, PreventionOpen, StillFiring
from incidents.models import (
    OPEN_STATES,
    ChecklistItem,
    Incident,
    IncidentSignal,
    ItemState,
    NotificationKind,
    Priority,
    Severity,
    State,
    TimelineEvent,
    TimelineKind,
)
from incidents.queue import enqueue_freeze
from incidents.transitions import is_legal, worse

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
        _note(incident, TimelineKind.CLEARED, at, key=key, title=row.title, reason=reason)
        if incident.is_open and not incident.signals.filter(cleared_at=None).exists():
            incident.green_since = at
            incident.save(update_fields=["green_since"])
        return incident if incident.is_open else None


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
    return _move(incident, State.ACKNOWLEDGED, at, actor, reason, acknowledged_at=at)


def mitigate(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Record that the pain stopped though the cause is not known to be gone (a restart, for example).

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    return _move(incident, State.MITIGATED, at, actor, reason, mitigated_at=at)


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
            _note(incident, TimelineKind.CLEARED, at, actor, key=row.key, title=row.title, reason=reason)
        firing.update(cleared_at=at)
        _move(incident, State.RESOLVED, at, actor, reason, resolved_at=at)
        outbox.announce(incident=incident, kind=NotificationKind.RESOLVED, at=at)
    return incident


def review(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Record that the report was reviewed.

    Raises:
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    return _move(incident, State.REVIEWED, at, actor, reason, reviewed_at=at)


def close(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Close it for good.

    Raises:
        PreventionOpen: a P0 measure is neither verified nor waived.
        IllegalMove, IncidentChanged: see :mod:`incidents.errors`.
    """
    done = (ItemState.VERIFIED, ItemState.WAIVED)
    waiting = ChecklistItem.objects.filter(report__incident=incident, priority=Priority.P0)
    if text := waiting.exclude(state__in=done).values_list("text", flat=True).first():
        raise PreventionOpen(_("P0 measure is neither verified nor waived: %(text)s") % {"text": text})
    return _move(incident, State.CLOSED, at, actor, reason, closed_at=at)


def add_note(
    *, incident: Incident, text: str, at: datetime, actor: AbstractBaseUser | None, starred: bool = False
) -> TimelineEvent:
    """Append a person's note to the timeline; ``starred`` notes are printed in the detailed report."""
    return TimelineEvent.objects.create(
        incident=incident, at=at, kind=TimelineKind.NOTE, text=text, actor_id=_pk(actor), starred=starred
    )


def record(
    *,
    incident: Incident,
    kind: TimelineKind,
    at: datetime,
    actor: AbstractBaseUser | None = None,
    evidence_id: int | None = None,
    **data: Any,
) -> TimelineEvent:
    """Append a system event; its values go to ``data`` and are worded when shown."""
    return TimelineEvent.objects.create(
        incident=incident, at=at, kind=kind, data=data, actor_id=_pk(actor), evidence_id=evidence_id
    )


def create_incident(**fields: Any) -> Incident:
    """Insert an incident under the next free number. Call it inside ``atomic``.

    Raises:
        IntegrityError: another worker took the number or the fingerprint; call again.
    """
    last = Incident.objects.aggregate(last=Max("number"))["last"] or 0
    slug = slugify(fields["title"].partition("(")[0], allow_unicode=True)[:80] or "incident"
    return Incident.objects.create(number=last + 1, slug=slug, **fields)


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
            _move(incident, back, given.at, None, _("a new alert fired"), mitigated_at=None)
    if incident.severity != before:
        _note(incident, TimelineKind.STATE, given.at, field="severity", old=before, new=incident.severity)
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
    _note(incident, TimelineKind.REOPENED, given.at, occurrence=incident.reopened, title=given.title)
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
    _note(incident, TimelineKind.OPENED, given.at, title=incident.title, severity=given.severity)
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
    _note(
        incident, TimelineKind.SIGNAL, given.at, key=given.key, title=given.title, detail=dict(given.detail)
    )


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
        _note(incident, TimelineKind.STATE, now, field="state", old=old, new="resolved", green_s=green)
        outbox.announce(incident=incident, kind=NotificationKind.RESOLVED, at=now)
    return True


def _move(
    incident: Incident, to: State, at: datetime, actor: AbstractBaseUser | None, reason: str, **fields: Any
) -> Incident:
    old = incident.state
    if not is_legal(old, to):
        raise IllegalMove(
            _("An incident that is “%(state)s” cannot become “%(to)s”.")
            % {"state": State(old).label, "to": to.label}
        )
    with transaction.atomic():
        if not Incident.objects.filter(pk=incident.pk, state=old).update(state=to, **fields):
            raise IncidentChanged(_("Somebody else changed the incident first."))
        for name, value in {"state": to, **fields}.items():
            setattr(incident, name, value)
        _note(
            incident, TimelineKind.STATE, at, actor, field="state", old=str(old), new=to.value, reason=reason
        )
    return incident


def _note(
    incident: Incident, kind: TimelineKind, at: datetime, actor: AbstractBaseUser | None = None, **data: Any
) -> None:
    record(incident=incident, kind=kind, at=at, actor=actor, **data)


def _pk(actor: AbstractBaseUser | None) -> int | None:
    return None if actor is None else actor.pk
