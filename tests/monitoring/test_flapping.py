"""Windows, sustained means, ladders and flapping of the fold, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from portal.monitoring.rules import FLAP_CALM, FLAP_WINDOW, MAX_WINDOW, Fold, Thresholds, Verdict, fold

START = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
WORDS = {
    None: ".", Verdict.OPENED: "O", Verdict.CLOSED: "C", Verdict.RAISED: "R", Verdict.FLAPPING: "F",
    Verdict.STEADY: "S",
}  # fmt: skip


def said(
    values: Sequence[float],
    limits: Thresholds,
    *,
    every_s: float = 5.0,
    state: Fold | None = None,
    start_s: float = 0,
) -> tuple[str, Fold]:
    """Fold ``values`` and say what each led to."""
    state, words = state or Fold(), []
    for number, value in enumerate(values):
        at = START + timedelta(seconds=start_s + every_s * number)
        state, verdict = fold(state, value, limits, at=at)
        words.append(WORDS[verdict])
    return "".join(words), state


WINDOW = Thresholds(open_above=1, close_below=1, open_after=9, close_after=2, window_bad=3, window_size=5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, 0, 1, 0, 1], "....O"),
        ([1, 0, 0, 1, 0, 1], "......"),  # the first one left the window
        ([1, 1, 0, 0, 0, 1, 1], "......."),
        ([0, 0, 0, 1, 1, 1], ".....O"),
        ([1, 0, 1, 0, 1, 0, 0], "....O.C"),
    ],
)
def test_so_many_of_the_last_samples_open_it(values: list[float], words: str) -> None:
    assert said(values, WINDOW)[0] == words


def test_a_window_keeps_at_most_twenty_results_and_forgets_good_ones() -> None:
    wide = Thresholds(open_above=1, close_below=1, open_after=99, window_bad=99, window_size=99)
    assert len(said([1, 0] * 40, wide)[1].recent) == MAX_WINDOW
    assert said([1] + [0] * 20, wide)[1].clean


SUSTAINED = Thresholds(open_above=80, close_below=70, close_after=2, sustain_s=100)


def test_a_mean_over_the_time_opens_it_although_single_samples_dip() -> None:
    values = [95.0, 95, 60, 95] * 6
    words, state = said(values, SUSTAINED)
    assert words.index("O") == 20, "100 seconds after the first bad sample"
    assert state.since == START


@pytest.mark.parametrize(
    "values",
    [
        [95.0] + [75] * 40,  # between the thresholds
        [95.0] * 10 + [0] * 40,
        [95.0, 10] * 20,
    ],
)
def test_a_mean_that_is_not_bad_opens_nothing(values: list[float]) -> None:
    assert "O" not in said(values, SUSTAINED)[0]


def test_a_gap_in_the_data_starts_a_sustained_window_afresh() -> None:
    _words, state = said([95] * 10, SUSTAINED)
    words, _state = said([95] * 20, SUSTAINED, state=state, start_s=300)
    assert words == "." * 20
    assert said([95] * 21, SUSTAINED, state=state, start_s=300)[0][-1] == "O"


def test_a_sustained_window_is_bounded_however_many_samples_come() -> None:
    hour = Thresholds(open_above=80, close_below=70, sustain_s=3600)
    assert len(said([95] * 4000, hour, every_s=0.5)[1].parts) <= 20


LADDER = Thresholds(open_above=3, close_below=1, ladder=(10, 40))


def test_a_ladder_is_climbed_once_and_left_at_the_end() -> None:
    words, state = said([2, 3, 9, 10, 11, 9, 40, 41, 10], LADDER)
    assert (words, state.level) == (".O.R..R..", 2)
    assert said([0, 3], LADDER, state=state)[0] == "CO"
    assert said([50], LADDER)[1].level == 2


def test_low_can_be_bad() -> None:
    days = Thresholds(open_above=21, close_below=22, ladder=(7,), low_is_bad=True)
    assert said([30, 21.5, 21, 15, 7, 6, 22, 90], days)[0] == "..O.R..C"


PLAIN = Thresholds(open_above=1, close_below=1)


def flapping() -> Fold:
    """A rule that changed four times within fifteen seconds; its last change was at 15 s, to good."""
    words, state = said([1, 0, 1, 0], PLAIN)
    assert words == "OCOF"
    return state


def test_the_fourth_change_within_half_an_hour_is_flapping_and_then_changes_tell_nothing() -> None:
    words, state = said([1, 0, 1, 0, 1, 1, 0], PLAIN, state=flapping(), start_s=20)
    assert words == "......."
    assert state.flapping


def test_changes_that_are_far_apart_are_no_flapping() -> None:
    minutes = FLAP_WINDOW.total_seconds() / 3
    assert said([1, 0] * 6, PLAIN, every_s=minutes)[0] == "OC" * 6


@pytest.mark.parametrize(("value", "word", "firing"), [(0, "C", False), (1, "S", True)])
def test_flapping_ends_after_a_quarter_of_an_hour_without_a_change(
    value: float, word: str, firing: bool
) -> None:
    _none, state = said([value], PLAIN, state=flapping(), start_s=20)
    calm = 20 + FLAP_CALM.total_seconds()
    assert said([value], PLAIN, state=state, start_s=calm - 6)[0] == "."
    words, after = said([value], PLAIN, state=state, start_s=calm)
    assert (words, after.firing, after.flapping, after.changes) == (word, firing, False, ())


def test_old_changes_are_forgotten() -> None:
    _words, state = said([1, 0], PLAIN)
    assert not state.clean
    assert said([0], PLAIN, state=state, start_s=5 + FLAP_WINDOW.total_seconds())[1].clean
