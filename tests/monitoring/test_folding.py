"""Folding loses no maximum and weighs means by their samples, in any order and over any steps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.monitoring.folding import Point, fold, window

values = st.one_of(st.none(), st.floats(0, 1e6))
series = st.lists(st.tuples(st.integers(0, 7200), values), min_size=1, max_size=60)


def raw(rows: Sequence[tuple[int, float | None]]) -> list[Point]:
    return [Point(float(at), 1, (None if value is None else (value, value),)) for at, value in rows]


@given(series)
def test_hours_from_minutes_equal_hours_from_raw_rows(rows: list[tuple[int, float | None]]) -> None:
    full = [(at, value) for at, value in rows if value is not None]
    direct = fold(raw(full), 3600)
    through = fold(fold(raw(full), 60), 3600)

    assert [(one.at, one.samples) for one in through] == [(one.at, one.samples) for one in direct]
    for left, right in zip(through, direct, strict=True):
        assert left.values[0] is not None
        assert right.values[0] is not None
        assert left.values[0][0] == pytest.approx(right.values[0][0])
        assert left.values[0][1] == right.values[0][1]


@given(series, st.integers(1, 4000))
def test_the_highest_value_survives_whatever_the_step(
    rows: list[tuple[int, float | None]], step: int
) -> None:
    highest = max((value for _at, value in rows if value is not None), default=None)
    kept = [one.values[0][1] for one in fold(raw(rows), step) if one.values[0] is not None]
    assert max(kept, default=None) == highest


@given(series, st.randoms())
def test_the_order_of_points_does_not_matter(rows: list[tuple[int, float | None]], random) -> None:
    mixed = list(rows)
    random.shuffle(mixed)
    for one, other in zip(fold(raw(rows), 60), fold(raw(mixed), 60), strict=True):
        assert (one.at, one.samples) == (other.at, other.samples)
        assert (one.values[0] is None) == (other.values[0] is None)


def test_a_window_without_a_value_is_no_data_and_not_zero() -> None:
    (point,) = fold([Point(0, 1, (None, (3.0, 3.0))), Point(1, 1, (None, (5.0, 5.0)))], 60)
    assert point == Point(0, 2, (None, (4.0, 5.0)))


def test_a_window_begins_on_the_epochs_grid_whatever_the_zone() -> None:
    half = timezone(timedelta(hours=5, minutes=30))
    assert window(datetime(2026, 11, 23, 9, 15, 31, tzinfo=half), 3600) == datetime(
        2026, 11, 23, 3, 0, tzinfo=UTC
    )
