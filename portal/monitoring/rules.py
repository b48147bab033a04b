"""The fold of alert rules: hysteresis, windows, means, ladders, flapping. Pure: no clock, no rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

#: Results of one rule on one subject that a window may look back on.
MAX_WINDOW = 20
#: Parts of a sustained window; its mean slides by one of them.
PARTS = 20
#: Silence longer than this, or than half the window, starts a sustained window afresh (s).
LONGEST_GAP_S = 60.0
#: So many changes within the window are flapping; it ends when nothing changed for the calm time.
FLAP_CHANGES = 4
FLAP_WINDOW = timedelta(minutes=30)
FLAP_CALM = timedelta(minutes=15)


class Verdict(Enum):
    """A change that somebody has to hear about.

    ``RAISED``: a firing rule reached the next rung of its ladder. ``FLAPPING``: it changed so often that
    single changes tell nothing any more; ``STEADY``: that is over, and it still fires.
    """

    OPENED = "opened"
    CLOSED = "closed"
    RAISED = "raised"
    FLAPPING = "flapping"
    STEADY = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """A sample at or above ``open_above`` is bad, one below ``close_below`` is good, between decides nothing.

    ``low_is_bad`` turns that round: at or below ``open_above`` is bad, above ``close_below`` is good.

    It opens after ``open_after`` bad samples in a row, or when ``window_bad`` of the last ``window_size``
    were bad (0: no window), or, with ``sustain_s``, only when the mean over so many seconds is bad.
    ``close_after`` good samples in a row close. ``ladder`` holds the values of further rungs, mildest first.
    """

    open_above: float
    close_below: float
    open_after: int = 1
    close_after: int = 1
    window_bad: int = 0
    window_size: int = 0
    sustain_s: float = 0.0
    ladder: tuple[float, ...] = ()
    low_is_bad: bool = False

    def is_bad(self, value: float) -> bool:
        """Whether ``value`` counts towards opening."""
        return value <= self.open_above if self.low_is_bad else value >= self.open_above

    def is_good(self, value: float) -> bool:
        """Whether ``value`` counts towards closing."""
        return value > self.close_below if self.low_is_bad else value < self.close_below

    def rung(self, value: float) -> int:
        """Return how many rungs of the ladder ``value`` reaches."""
        return sum(value <= step if self.low_is_bad else value >= step for step in self.ladder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Where a rule stands. ``since`` is the first bad sample; counts stop growing at their limit.

    ``recent`` are the last results (``x`` bad, ``.`` good, ``-`` between), ``parts`` number, sum and count of
    a sustained window's parts, ``changes`` the times at which it opened and closed lately, and ``level`` the
    highest rung reached while firing. ``firing`` goes on following the samples while ``flapping``.
    """

    bad: int = 0
    good: int = 0
    firing: bool = False
    since: datetime | None = None
    recent: str = ""
    parts: tuple[tuple[int, float, int], ...] = ()
    changes: tuple[datetime, ...] = ()
    flapping: bool = False
    level: int = 0

    @property
    def clean(self) -> bool:
        """Whether it equals never having seen a bad sample."""
        return self == CLEAN


CLEAN = Fold()


def fold(
    state: Fold, value: float, limits: Thresholds, *, at: datetime, began: datetime | None = None
) -> tuple[Fold, Verdict | None]:
    """Return the state after one sample of ``at``, and the verdict when it changed.

    ``began`` is given by samples that know since when they have been bad (a streak with its interval).
    """
    raw = _firing(state, value, limits, at) if state.firing else _waiting(state, value, limits, at, began)
    verdict = None if raw.firing == state.firing else Verdict.OPENED if raw.firing else Verdict.CLOSED
    changes = state.changes
    if verdict is not None:
        changes = (*(one for one in changes if at - one < FLAP_WINDOW), at)[-MAX_WINDOW:]
    elif raw.level > state.level:
        verdict = Verdict.RAISED
    after = replace(raw, changes=changes, flapping=state.flapping)
    if state.flapping:
        return _settled(after, at)
    if len(changes) >= FLAP_CHANGES and verdict in (Verdict.OPENED, Verdict.CLOSED):
        return replace(after, flapping=True), Verdict.FLAPPING
    if changes and at - changes[-1] >= FLAP_WINDOW:
        after = replace(after, changes=())
    return after, verdict


def _settled(state: Fold, at: datetime) -> tuple[Fold, Verdict | None]:
    """Leave flapping once it was calm; nothing is told before."""
    if state.changes and at - state.changes[-1] < FLAP_CALM:
        return state, None
    calm = replace(state, flapping=False, changes=())
    return calm, Verdict.STEADY if calm.firing else Verdict.CLOSED


def _firing(state: Fold, value: float, limits: Thresholds, at: datetime) -> Fold:
    if limits.is_bad(value):
        level = max(state.level, limits.rung(value))
        bad = min(state.bad + 1, limits.open_after)
        return Fold(bad=bad, firing=True, since=state.since or at, level=level)
    if not limits.is_good(value):
        return state
    good = state.good + 1
    return CLEAN if good >= limits.close_after else replace(state, good=good)


def _waiting(state: Fold, value: float, limits: Thresholds, at: datetime, began: datetime | None) -> Fold:
    bad, good = limits.is_bad(value), limits.is_good(value)
    since = state.since or (min(at, began or at) if bad else None)
    if since is None:
        return CLEAN
    if limits.sustain_s:
        return _sustained(state, value, limits, at, since)
    recent = ""
    if limits.window_size:
        size = min(limits.window_size, MAX_WINDOW)
        recent = (state.recent + ("x" if bad else "." if good else "-"))[-size:]
    streak = min(state.bad + 1, limits.open_after) if bad else 0 if good else state.bad
    of_window = bool(limits.window_bad) and recent.count("x") >= limits.window_bad
    if bad and (streak >= limits.open_after or of_window):
        return Fold(bad=streak, firing=True, since=since, level=limits.rung(value))
    if not streak and "x" not in recent:
        return CLEAN
    return Fold(bad=streak, since=since, recent=recent)


def _sustained(state: Fold, value: float, limits: Thresholds, at: datetime, since: datetime) -> Fold:
    """Add a sample to the window that its first bad sample began, and judge the mean once it is full."""
    width = limits.sustain_s / PARTS
    now = int(at.timestamp() // width)
    parts = state.parts
    if parts and (now - parts[-1][0]) * width > max(limits.sustain_s / 2, LONGEST_GAP_S):
        if not limits.is_bad(value):
            return CLEAN
        parts, since = (), at
    kept = [part for part in parts if now - PARTS < part[0] < now]
    held = parts[-1] if parts and parts[-1][0] == now else (now, 0.0, 0)
    kept.append((now, held[1] + value, held[2] + 1))
    mean = sum(part[1] for part in kept) / sum(part[2] for part in kept)
    if limits.is_good(mean):
        return CLEAN
    if limits.is_bad(mean) and (at - since).total_seconds() >= limits.sustain_s:
        return Fold(bad=limits.open_after, firing=True, since=since, level=limits.rung(mean))
    return Fold(bad=1, since=since, parts=tuple(kept))
