"""The numbers of the delivery: retries, reminders, and what cannot be meant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from incidents.policy import Policy, delay_after, reminder_due, reminder_times
from tests.incidents.conftest import NOW, after

POLICY = Policy()


def test_the_waits_grow_threefold_to_a_cap():
    seconds = [delay_after(POLICY, tries).total_seconds() for tries in range(1, 8)]
    assert seconds == [5, 15, 45, 135, 300, 300, 300]


def test_the_jitter_moves_a_wait_by_a_fifth_and_never_over_the_cap():
    assert [delay_after(POLICY, 2, chance).total_seconds() for chance in (0.0, 1.0)] == [12, 18]
    assert delay_after(POLICY, 5, 1.0).total_seconds() == 300


def test_five_tries_outlast_a_channel_that_is_gone_for_two_minutes():
    assert sum(delay_after(POLICY, tries, 0.0).total_seconds() for tries in range(1, 5)) > 120


def test_reminders_come_after_5_15_and_30_minutes_then_every_4_hours_and_five_times_at_most():
    assert reminder_times(POLICY) == (300, 900, 1800, 16_200, 30_600)
    due = [reminder_due(POLICY, NOW, after(seconds)) for seconds in (0, 299, 300, 899, 900, 16_200, 10**6)]
    assert due == [0, 0, 1, 1, 2, 4, 5]


def test_the_defaults_can_be_meant():
    assert POLICY.problems() == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"tries": 0}, "NOTIFY_TRIES"),
        ({"retry_base": 400.0}, "NOTIFY_RETRY_CAP"),
        ({"escalation": (300.0, 500.0)}, "at least 300 s apart"),
        ({"escalation": (60.0,)}, "at least 300 s apart"),
        ({"group_interval": 10.0}, "at least 300 s apart"),
        ({"reminders_max": 6}, "NOTIFY_REMINDERS_MAX"),
        ({"lease": 5.0}, "NOTIFY_LEASE"),
    ],
)
def test_numbers_that_cannot_be_meant_are_named(changes, word):
    (problem,) = replace(POLICY, **changes).problems()
    assert word in problem
