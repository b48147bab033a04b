"""A template rises when it is five times as frequent as it used to be; the rise is told once and ends."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portal.monitoring.logs import summarise
from portal.monitoring.models import LogTemplate, ServiceState
from portal.monitoring.rising import ACCEPTED_AFTER_MIN, FLOOR_PER_MIN, Judged, judge
from tests.monitoring.stage import Stage, inspected

NOW = 1_000


def judged(counts: list[int], *, watched: int = 60, before: Judged | None = None) -> Judged:
    """Judge a template whose newest count is the last of ``counts``, in a service watched for so long."""
    minutes = {str(NOW - age): count for age, count in enumerate(reversed(counts))}
    return judge(minutes, NOW, watched_since=NOW - watched, before=before or Judged(), window=10)


@pytest.mark.parametrize(
    ("counts", "rising"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 200], True),
        ([20] * 9 + [120], True),
        ([20] * 8 + [100, 0], True),
        ([100] * 10, False),
        ([100] * 9 + [499], False),
        ([100] * 9 + [500], True),
        ([0] * 9 + [FLOOR_PER_MIN - 1], False),
        ([1] * 9 + [50], False),
    ],
)
def test_five_times_its_own_baseline_above_the_floor(counts: list[int], rising: bool) -> None:
    assert judged(counts).rising is rising


def test_a_start_is_no_rise() -> None:
    assert judged([0] * 9 + [5_000], watched=4) == Judged()
    assert judged([0] * 9 + [5_000], watched=6).rising


def test_the_rise_lasts_while_the_rate_does_and_keeps_its_baseline() -> None:
    began = Judged(baseline=20.0, since=NOW - 8)
    still = judged([500] * 10, before=began)
    assert (still.baseline, still.since, still.factor) == (20.0, NOW - 8, 25.0)
    assert not judged([500] * 8 + [10, 10], before=began).rising


def test_what_lasts_becomes_the_normal_rate() -> None:
    old = Judged(baseline=20.0, since=NOW - ACCEPTED_AFTER_MIN)
    assert judged([500] * 10, before=old) == Judged(baseline=500.0)


@pytest.mark.django_db
def test_a_sweep_tells_the_steepest_template_and_forgets_it_after_the_silence() -> None:
    stage = Stage()
    quiet = summarise(["order 1 placed"] * 4)
    burst = summarise(["order 1 placed"] * 4 + [f"retry {n} of token=hunter2" for n in range(300)])

    def minute(logs: object) -> ServiceState:
        stage.sweep(inspected(started_at=stage.at - timedelta(hours=1)), logs=logs)
        stage.at += timedelta(seconds=55)
        return ServiceState.objects.get()

    for _minute in range(6):
        state = minute(quiet)
        assert (state.rising_template, state.rising_factor) == ("", 0.0)
    state = minute(burst)
    assert state.rising_template == "retry <n> of token=[secret]"
    assert state.rising_factor == 300.0
    row = LogTemplate.objects.get(template=state.rising_template)
    assert row.rising_since is not None
    assert row.baseline == 0.0

    for _minute in range(3):
        state = minute(quiet)
    assert (state.rising_template, state.rising_factor) == ("", 0.0)
    assert not LogTemplate.objects.exclude(rising_since=None).exists()
