"""The clock of the impact and that of the response, computed from the times of an incident. Pure.

The impact runs from its first failing evidence until it was mitigated; the response runs from detection
until resolution. The ledger says in which step the time was lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

UNDETECTED, UNACKNOWLEDGED = "undetected", "unacknowledged"
UNMITIGATED, UNRESOLVED = "unmitigated", "unresolved"


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds between two known moments; ``running`` until now. ``None``: skipped, or nobody knows."""

    name: str
    seconds: float | None
    running: bool = False
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds; ``None`` is no data. ``largest`` names the step in which most time was lost."""

    impact_s: float | None
    response_s: float
    steps: Sequence[Step]
    largest: str = ""

    @property
    def undetected_s(self) -> float | None:
        """How long it hurt before anybody was told."""
        return self.steps[0].seconds


def clocks(
    *,
    impact_started_at: datetime | None,
    detected_at: datetime,
    acknowledged_at: datetime | None,
    mitigated_at: datetime | None,
    resolved_at: datetime | None,
    now: datetime,
) -> Clocks:
    """Return both clocks and the time lost by step.

    A step that was skipped has no time of its own: what follows it counts from the last known moment. An
    impact that began after its detection was never undetected (0 s).
    """
    undetected = None if impact_started_at is None else _between(impact_started_at, detected_at)
    steps = [Step(UNDETECTED, undetected)]
    last, running = detected_at, resolved_at is None
    ends = ((UNACKNOWLEDGED, acknowledged_at), (UNMITIGATED, mitigated_at), (UNRESOLVED, resolved_at))
    known = [position for position, (_name, end) in enumerate(ends) if end is not None]
    reached = known[-1] if known else -1
    for position, (name, end) in enumerate(ends):
        if end is not None:
            steps.append(Step(name, _between(last, end)))
            last = max(last, end)
        elif position < reached or not running:
            steps.append(Step(name, None))
        else:
            steps.append(Step(name, _between(last, now), running=True))
            running = False
    spent = sum(step.seconds or 0.0 for step in steps)
    if spent:
        steps = [replace(one, share=None if one.seconds is None else one.seconds / spent) for one in steps]
    worst = max(steps, key=lambda step: step.seconds or 0.0)
    over = mitigated_at or resolved_at or now
    return Clocks(
        impact_s=None if impact_started_at is None else _between(impact_started_at, over),
        response_s=_between(detected_at, resolved_at or now),
        steps=tuple(steps),
        largest=worst.name if worst.seconds else "",
    )


def _between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
