"""Whether a log template has become much more frequent than it used to be. Pure; counts by minute in.

A high rate tells of a flood; one that rose tells of a change, such as a retry that was rare until now.
The baseline is the template's own mean. It is kept while the template rises, so that the rise does not become
its own baseline, and after ``ACCEPTED_AFTER_MIN`` the new rate counts as the normal one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: A rate of this many times the baseline is a rise, and one below half of that is not any more.
RISE = 5.0
#: Lines a minute below which nothing is called a rise.
FLOOR_PER_MIN = 100
#: Whole minutes that have to be known before there is a baseline; a start's own messages pass in them.
LEAST_MINUTES = 3
ACCEPTED_AFTER_MIN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """``baseline`` in lines a minute, ``None`` without one; ``since`` is the minute of the rise."""

    baseline: float | None = None
    since: int | None = None
    factor: float = 0.0

    @property
    def rising(self) -> bool:
        """Whether the template rises now."""
        return self.since is not None


def judge(
    minutes: Mapping[str, int], minute: int, *, watched_since: int, before: Judged, window: int
) -> Judged:
    """Return how a template stands at ``minute`` (unix minute, as are the keys of ``minutes``).

    ``watched_since`` is the minute of the service's discovery or start, ``window`` the minutes that are kept.
    """

    def count(of: int) -> int:
        return minutes.get(str(of), 0)

    now = max(count(minute), count(minute - 1))
    if before.since is not None and before.baseline is not None:
        lasts = minute - before.since < ACCEPTED_AFTER_MIN
        if lasts and now >= max(FLOOR_PER_MIN, before.baseline * RISE) / 2:
            return Judged(
                baseline=before.baseline, since=before.since, factor=now / max(before.baseline, 1.0)
            )
    known = range(max(minute - window + 1, watched_since + 1), minute - 1)
    if len(known) < LEAST_MINUTES:
        return Judged()
    baseline = sum(map(count, known)) / len(known)
    if now >= FLOOR_PER_MIN and now >= RISE * baseline:
        return Judged(baseline=baseline, since=minute, factor=now / max(baseline, 1.0))
    return Judged(baseline=baseline)
