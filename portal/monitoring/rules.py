"""The fold of alert rules: hysteresis, streaks and sticky thresholds. Pure: no clock, no rows, no sending."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Verdict(Enum):
    """A change that somebody has to hear about."""

    OPENED = "opened"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """A sample at or above ``open_above`` is bad, one below ``close_below`` is good, between decides nothing.

    ``open_after`` bad samples in a row open, ``close_after`` good ones close.
    """

    open_above: float
    close_below: float
    open_after: int = 1
    close_after: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Where a rule stands. ``since`` is the first bad sample; counts stop growing at their limit."""

    bad: int = 0
    good: int = 0
    firing: bool = False
    since: datetime | None = None

    @property
    def clean(self) -> bool:
        """Whether it equals never having seen a bad sample."""
        return not (self.bad or self.good or self.firing)


def fold(
    state: Fold, value: float, limits: Thresholds, *, at: datetime, began: datetime | None = None
) -> tuple[Fold, Verdict | None]:
    """Return the state after one sample of ``at``, and the verdict when it changed.

    ``began`` is given by samples that know since when they have been bad (a streak with its interval).
    """
    if value >= limits.open_above:
        since = state.since or min(at, began or at)
        bad = min(state.bad + 1, limits.open_after)
        if state.firing:
            return Fold(bad=bad, firing=True, since=since), None
        firing = bad >= limits.open_after
        return Fold(bad=bad, firing=firing, since=since), Verdict.OPENED if firing else None
    if value < limits.close_below:
        if not state.firing:
            return Fold(), None
        good = state.good + 1
        if good >= limits.close_after:
            return Fold(), Verdict.CLOSED
        return Fold(bad=state.bad, good=good, firing=True, since=state.since), None
    return state, None
