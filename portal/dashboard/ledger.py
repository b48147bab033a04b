"""Words for the clocks of an incident, the time lost by step, and why another incident is related."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from incidents import clocks, related
from incidents.clocks import Clocks
from incidents.models import Incident


@dataclass(frozen=True, slots=True)
class Line:
    """One step with its words; ``percent`` of all the time that is known.

    A step without a time is ``ahead`` of the present one, was ``skipped``, or nobody knows when it began.
    """

    label: str
    seconds: float | None
    running: bool
    percent: int
    largest: bool
    ahead: bool
    skipped: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """Both clocks and the steps, for the page."""

    clocks: Clocks
    lines: tuple[Line, ...]
    sentence: str


def read(incident: Incident, now: datetime) -> Clocks:
    """Return the clocks of the present or last occurrence; an earlier impact is not that of a later one."""
    impact = incident.impact_started_at
    if incident.reopened_at is not None and impact is not None and impact < incident.opened_at:
        impact = None
    return clocks.clocks(
        impact_started_at=impact,
        detected_at=incident.burning_since,
        acknowledged_at=incident.acknowledged_at,
        mitigated_at=incident.mitigated_at,
        resolved_at=incident.resolved_at,
        now=now,
    )


def of_incident(incident: Incident, now: datetime) -> Ledger:
    """Return clocks and steps in words."""
    found = read(incident, now)
    running = next((place for place, step in enumerate(found.steps) if step.running), len(found.steps))
    lines = tuple(
        Line(
            label=_label(step.name),
            seconds=step.seconds,
            running=step.running,
            percent=round(100 * (step.share or 0.0)),
            largest=step.name == found.largest,
            ahead=place > running,
            skipped=step.seconds is None and 0 < place < running,
        )
        for place, step in enumerate(found.steps)
    )
    return Ledger(found, lines, _sentence(found.largest))


def _label(name: str) -> str:
    return {
        clocks.UNDETECTED: _("Undetected"),
        clocks.UNACKNOWLEDGED: _("Until acknowledged"),
        clocks.UNMITIGATED: _("Until mitigated"),
        clocks.UNRESOLVED: _("Until resolved"),
    }[name]


def _sentence(largest: str) -> str:
    return {
        clocks.UNDETECTED: _("Most of the time was lost before anybody was told."),
        clocks.UNACKNOWLEDGED: _("Most of the time was lost until somebody took it."),
        clocks.UNMITIGATED: _("Most of the time was lost until the pain stopped."),
        clocks.UNRESOLVED: _("Most of the time was lost until it was over."),
    }.get(largest, "")


def why_word(why: str) -> str:
    """Return why an incident is listed as related."""
    return {
        related.RECURRENCE: _("this one is its recurrence"),
        related.RECURRED: _("recurrence of this one"),
        related.MERGED: _("merged into this one"),
        related.SPLIT: _("split from this one"),
        related.SPLIT_FROM: _("this one was split from it"),
        related.SERVICE: _("same service"),
        related.TEMPLATE: _("same log message"),
        related.TIME: _("same time"),
    }[why]
