"""Occurrences begin here: an incident opens, or the one of the same cause burns again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from incidents import outbox
from incidents.deeds import audited
from incidents.errors import IllegalMove, IncidentChanged
from incidents.models import Incident, IncidentSignal, NotificationKind, State, TimelineKind
from incidents.numbering import create_incident
from incidents.queue import enqueue_freeze
from incidents.timeline import record
from incidents.transitions import is_legal, worse

#: The same fingerprint reopens an incident that was resolved less than this ago; later it is a recurrence.
REOPEN_WITHIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One alert as monitoring gave it."""

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


def reopen(given: Given) -> Incident | None:
    """Reopen what the same cause opened and was resolved within :data:`REOPEN_WITHIN`; None without one.

    Raises:
        IncidentChanged: another worker was first.
    """
    last = Incident.objects.filter(
        fingerprint=given.fingerprint,
        state=State.RESOLVED,
        merged_into=None,
        resolved_at__gte=given.at - REOPEN_WITHIN,
    ).order_by("-resolved_at")
    incident = last.first()
    if incident is None:
        return None
    _burn_again(incident, worse(incident.severity, given.severity), given.at)
    record(
        incident=incident,
        kind=TimelineKind.REOPENED,
        at=given.at,
        occurrence=incident.reopened,
        title=given.title,
    )
    _begin(incident, given)
    return incident


def reopen_by_hand(
    *, incident: Incident, at: datetime, actor: AbstractBaseUser | None = None, reason: str = ""
) -> Incident:
    """Begin another occurrence of a resolved incident: its message, its evidence, its timeline.

    No alert holds it, so a person resolves it too, unless its alert fires again.

    Raises:
        IllegalMove: it is not resolved, was merged, or another incident of its cause is open.
        IncidentChanged: somebody else moved it first.
    """
    if not is_legal("reopen", incident.state):
        label = State(incident.state).label
        raise IllegalMove(
            _("Only a resolved incident is reopened; this one is “%(state)s”.") % {"state": label}
        )
    try:
        with transaction.atomic():
            _burn_again(incident, incident.severity, at)
            record(
                incident=incident,
                kind=TimelineKind.REOPENED,
                at=at,
                actor=actor,
                occurrence=incident.reopened,
                reason=reason,
            )
            announce(incident, at)
            audited(incident, "reopen", at=at, actor=actor, reason=reason)
    except IntegrityError as error:
        raise IllegalMove(_("Another incident of the same cause is open, or it was merged.")) from error
    return incident


def _burn_again(incident: Incident, severity: str, at: datetime) -> None:
    won = Incident.objects.filter(pk=incident.pk, state=State.RESOLVED, merged_into=None).update(
        state=State.DETECTED,
        severity=severity,
        reopened=F("reopened") + 1,
        reopened_at=at,
        acknowledged_at=None,
        mitigated_at=None,
        resolved_at=None,
        green_since=None,
        frozen_at=None,
        followed_at=None,
    )
    if not won:
        raise IncidentChanged(_("Somebody else changed the incident first."))
    incident.refresh_from_db()


def open_new(given: Given) -> Incident:
    """Open an incident, as a recurrence of the last one of its cause.

    Raises:
        IntegrityError: another worker took the number or the fingerprint.
    """
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
    return incident


def _begin(incident: Incident, given: Given) -> None:
    """What every occurrence starts with: its signal, its opening message, its evidence."""
    add_signal(incident, given)
    announce(incident, given.at)


def announce(incident: Incident, at: datetime) -> None:
    """Write the opening message of an occurrence and ask for its freeze, whose findings it waits for."""
    outbox.announce(incident=incident, kind=NotificationKind.OPENED, at=at)
    transaction.on_commit(partial(enqueue_freeze, incident.pk), robust=True)


def add_signal(incident: Incident, given: Given) -> None:
    """Attach a new alert."""
    IncidentSignal.objects.create(
        incident=incident,
        key=given.key,
        origin=given.fingerprint,
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
