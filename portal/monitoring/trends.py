"""How a series grows: a robust line through its points. Pure.

The slope is Theil and Sen's: the median over all pairs of points, which a few outliers do not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

#: Seconds of one point, and points kept: thirty minutes.
STEP_S = 30
MAX_POINTS = 61
#: Fewest points of a fit, and the share of a window that they must span.
FEWEST = 4
COVERAGE = 0.95
#: Shortest window that can hold so many points (s).
SHORTEST_S = (FEWEST - 1) * STEP_S
#: Share of rising pairs below which a series swings (a cache, a garbage collector) rather than grows.
STEADY = 0.8


@dataclass(frozen=True, slots=True)
class Trend:
    """Growth a minute over a window, 0.0 when it does not grow steadily, and the newest value."""

    per_minute: float
    last: float


def add_point(points: Any, at_s: float, value: float) -> dict[str, float]:
    """Return ``points`` (step number to value) with the newest value of its step, cut to :data:`MAX_POINTS`.

    What is unreadable starts afresh.
    """
    step = int(at_s // STEP_S)
    kept = {}
    if isinstance(points, dict):
        kept = {key: float(old) for key, old in points.items() if 0 < step - int(key) < MAX_POINTS}
    return {**kept, str(step): value}


def trend(points: Mapping[str, float], *, window_s: float) -> Trend | None:
    """Return the growth over the newest ``window_s`` seconds; ``None`` while the points do not span it."""
    if not points:
        return None
    series = sorted((int(step), value) for step, value in points.items())
    newest, last = series[-1]
    span = window_s / STEP_S
    series = [point for point in series if newest - point[0] <= span]
    first = series[0]
    if len(series) < FEWEST or newest - first[0] < span * COVERAGE:
        return None
    if last <= first[1]:
        return Trend(0.0, last)
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, earlier in enumerate(series)
        for later in series[number + 1 :]
    ]
    if sum(slope > 0 for slope in slopes) < STEADY * len(slopes):
        return Trend(0.0, last)
    return Trend(median(slopes) * 60 / STEP_S, last)
