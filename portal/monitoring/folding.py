"""Folds points of a series into wider windows without losing a maximum. Pure: no clock, no rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

#: Mean and maximum of one metric.
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Point:
    """Metrics over one window that begins at ``at`` (unix s) and holds ``samples``; ``None`` is no data."""

    at: float
    samples: int
    values: tuple[Pair | None, ...]


def window(at: datetime, step: int) -> datetime:
    """Return the start of the window of ``step`` seconds (counted from the epoch) that ``at`` is in."""
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % step, UTC)


def fold(points: Iterable[Point], step: int, origin: float = 0.0) -> list[Point]:
    """Return one point for each window of ``step`` seconds that has any, in order of time.

    Windows are counted from ``origin`` (unix s). A mean is weighted by the samples of the points that
    have a value; a maximum is the highest one.
    """
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault(int((point.at - origin) // step), []).append(point)
    return [_merged(origin + number * step, groups[number]) for number in sorted(groups)]


def _merged(at: float, points: list[Point]) -> Point:
    columns = zip(*(point.values for point in points), strict=True)
    weights = [point.samples for point in points]
    return Point(at, sum(weights), tuple(_pair(column, weights) for column in columns))


def _pair(column: tuple[Pair | None, ...], weights: list[int]) -> Pair | None:
    total = 0
    weighted = highest = 0.0
    for pair, weight in zip(column, weights, strict=True):
        if pair is None:
            continue
        highest = pair[1] if not total else max(highest, pair[1])
        total += weight
        weighted += pair[0] * weight
    return (weighted / total, highest) if total else None
