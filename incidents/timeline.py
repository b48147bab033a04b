"""The only writer of the timeline: system events by their values, notes in a person's words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from incidents.models import Incident, TimelineEvent, TimelineKind


def add_note(
    *, incident: Incident, text: str, at: datetime, actor: AbstractBaseUser | None, starred: bool = False
) -> TimelineEvent:
    """Append a person's note to the timeline; ``starred`` notes are printed in the detailed report."""
    return TimelineEvent.objects.create(
        incident=incident,
        at=at,
        kind=TimelineKind.NOTE,
        text=text,
        actor_id=None if actor is None else actor.pk,
        starred=starred,
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
        incident=incident,
        at=at,
        kind=kind,
        data=data,
        actor_id=None if actor is None else actor.pk,
        evidence_id=evidence_id,
    )
