"""The fold of a rule, as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from portal.monitoring.rules import Fold, Thresholds, Verdict, fold

START = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
LIMITS = Thresholds(open_above=90, close_below=70, open_after=3, close_after=2)


def verdicts(values: list[float], limits: Thresholds = LIMITS) -> tuple[list[str], Fold]:
    """Fold ``values``, one every 5 s, and say what each led to."""
    state, said = Fold(), []
    for number, value in enumerate(values):
        state, verdict = fold(state, value, limits, at=START + timedelta(seconds=5 * number))
        said.append({None: ".", Verdict.OPENED: "O", Verdict.CLOSED: "C"}[verdict])
    return said, state


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([95, 95, 95], "..O"),
        ([95, 95, 60, 95, 95], "....."),
        ([95, 95, 80, 95], "...O"),  # between the thresholds decides nothing
        ([90, 90, 90], "..O"),  # at the limit is bad
        ([95, 95, 95, 95, 95], "..O.."),  # once
        ([95, 95, 95, 60, 60], "..O.C"),
        ([95, 95, 95, 60, 80, 60], "..O..C"),
        ([95, 95, 95, 60, 95, 60, 60], "..O...C"),  # a bad sample starts the closing afresh
        ([95, 95, 95, 70, 70], "..O.."),  # at close_below is not good yet
        ([95, 95, 95, 60, 60, 95, 95, 95], "..O.C..O"),
        ([60] * 5, "....."),
    ],
)
def test_a_rule_opens_after_bad_samples_and_closes_after_good_ones(values: list[float], said: str) -> None:
    assert "".join(verdicts(values)[0]) == said


def test_the_first_bad_sample_is_remembered_while_the_streak_lasts() -> None:
    _said, state = verdicts([60, 95, 95, 80, 95, 95])
    assert state.firing
    assert state.since == START + timedelta(seconds=5)


def test_a_good_sample_before_opening_forgets_the_streak() -> None:
    _said, state = verdicts([95, 95, 60])
    assert state == Fold()
    assert state.clean


def test_a_sample_that_knows_its_beginning_moves_the_first_bad_moment_back() -> None:
    began = START - timedelta(hours=3)
    state, verdict = fold(Fold(), 397, Thresholds(open_above=3, close_below=1), at=START, began=began)
    assert verdict is Verdict.OPENED
    assert state.since == began


def test_counts_stop_at_their_limit_so_that_a_long_outage_writes_nothing_more() -> None:
    _said, state = verdicts([95] * 4)
    after, verdict = fold(state, 99, LIMITS, at=START + timedelta(minutes=20))
    assert (after, verdict) == (state, None)


def test_after_closing_the_state_is_as_new() -> None:
    assert replace(verdicts([95, 95, 95, 60, 60])[1], changes=()) == Fold()
