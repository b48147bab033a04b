"""Growth over a window: what leaks, what swings, what is not known yet."""

from __future__ import annotations

import random

import pytest

from portal.monitoring.trends import MAX_POINTS, SHORTEST_S, STEP_S, Trend, add_point, trend


def series(values: list[float]) -> dict[str, float]:
    """Points of ``values``, one every half minute."""
    points: dict[str, float] = {}
    for number, value in enumerate(values):
        points = add_point(points, 1_000_000 + number * STEP_S, value)
    return points


def test_a_leak_is_measured_through_noise_and_outliers() -> None:
    noise = random.Random(4)  # noqa: S311 - not for secrets
    values = [100 + 5 * number + noise.uniform(-4, 4) for number in range(61)]
    values[20], values[40] = 2000, 3
    grown = trend(series(values), window_s=1800)
    assert grown is not None
    assert grown.per_minute == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    "values",
    [
        [100.0] * 61,
        [100.0 + 50 * (number % 10) for number in range(61)],  # a garbage collector's saw
        [400.0 - number for number in range(61)],
        [100.0] * 30 + [900.0] * 31,  # one step is no growth
    ],
)
def test_what_does_not_grow_steadily_has_no_slope(values: list[float]) -> None:
    assert trend(series(values), window_s=1800) == Trend(0.0, values[-1])


def test_nothing_is_known_before_the_window_is_full() -> None:
    assert trend(series([float(number) for number in range(50)]), window_s=1800) is None
    assert trend(series([float(number) for number in range(61)]), window_s=1800) is not None
    assert trend(series([1.0, 2, 3]), window_s=60) is None
    assert trend({}, window_s=60) is None


def test_the_shortest_window_that_a_rule_may_have_can_fire() -> None:
    leak = series([float(10 * number) for number in range(10)])
    assert trend(leak, window_s=SHORTEST_S) == Trend(20.0, 90.0)
    assert trend(leak, window_s=SHORTEST_S - STEP_S) is None


def test_points_are_bounded_and_unreadable_ones_start_afresh() -> None:
    assert len(series([1.0] * 500)) == MAX_POINTS
    assert add_point("rubbish", 60, 1.0) == {"2": 1.0}
    assert add_point({"1": 5.0}, 30 * (MAX_POINTS + 5), 1.0) == {str(MAX_POINTS + 5): 1.0}
