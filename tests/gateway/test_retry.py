"""The policy as a table: delays, jitter, the breaker, the attempt limit, what parks and what forgets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import RetryConfig
from gateway.retry import Breaker, Cause, RetryPolicy, RetryState

CONFIG = RetryConfig()
POLICY = RetryPolicy(CONFIG)
ALMOST_ONE = 0.999999


def fail(state, *, at=0.0, cause=Cause.TRANSIENT, reason="refused", random=0.0, policy=POLICY):
    """Return the state after one more failed attempt, and the wait before the next one."""
    return policy.failed(state, now=at, random=random, cause=cause, reason=reason)


def failures(count, policy=POLICY):
    """Return the state after ``count`` failed attempts in a row."""
    state = RetryState()
    for _ in range(count):
        state, _ = fail(state, policy=policy)
    return state


@pytest.mark.parametrize(
    ("failed", "shortest", "longest"),
    [
        (1, 0.5, 1.0),
        (2, 1.0, 2.0),
        (3, 2.0, 4.0),
        (4, 4.0, 8.0),
        (5, 30.0, 30.0),  # the breaker is open from here on
        (6, 30.0, 32.0),
        (7, 30.0, 60.0),
        (8, 30.0, 60.0),
        (99, 30.0, 60.0),
        (10_000, 30.0, 60.0),  # the exponent does not overflow
    ],
)
def test_the_wait_doubles_up_to_a_minute_with_half_of_it_random(failed, shortest, longest):
    assert POLICY.delay(failed, 0.0) == pytest.approx(shortest)
    assert POLICY.delay(failed, ALMOST_ONE) == pytest.approx(longest, rel=1e-4)


@pytest.mark.parametrize(("failed", "wait"), [(1, 0.75), (2, 1.5), (3, 3.0), (4, 6.0), (7, 45.0)])
def test_jitter_moves_the_wait_between_half_and_all_of_it(failed, wait):
    assert POLICY.delay(failed, 0.5) == pytest.approx(wait)


@given(st.integers(1, 100_000), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_ever_shorter_than_half_a_second_or_longer_than_the_cap(failed, random):
    assert 0.5 <= POLICY.delay(failed, random) <= CONFIG.cap


@given(st.integers(CONFIG.breaker_failures, 100_000), st.floats(0, 1, exclude_max=True))
def test_an_open_breaker_waits_at_least_its_delay(failed, random):
    assert POLICY.delay(failed, random) >= CONFIG.breaker_delay


def test_the_cap_wins_over_a_longer_breaker_delay():
    assert RetryPolicy(RetryConfig(breaker_delay=90.0)).delay(50, 0.0) == CONFIG.cap


@pytest.mark.parametrize(("random", "wait"), [(0.0, 0.0), (0.5, 2.5), (ALMOST_ONE, 5.0)])
def test_processes_start_up_to_five_seconds_apart(random, wait):
    assert POLICY.start_delay(random) == pytest.approx(wait, rel=1e-4)


def test_each_failure_waits_by_its_number_in_the_row():
    state, waits = RetryState(), []
    for _ in range(6):
        state, wait = fail(state)
        waits.append(wait)
    assert waits == [0.5, 1.0, 2.0, 4.0, 30.0, 30.0]


def test_after_a_proven_connection_the_row_starts_anew():
    state = POLICY.recovered(failures(6))
    assert state.failures == 0
    assert POLICY.breaker(state, trying=False) is Breaker.CLOSED
    assert fail(state)[1] == 0.5


@pytest.mark.parametrize(
    ("failed", "waiting", "trying"),
    [
        (0, Breaker.CLOSED, Breaker.CLOSED),
        (4, Breaker.CLOSED, Breaker.CLOSED),
        (5, Breaker.OPEN, Breaker.HALF_OPEN),
        (50, Breaker.OPEN, Breaker.HALF_OPEN),
        (100, Breaker.OPEN, Breaker.HALF_OPEN),
    ],
)
def test_five_failures_open_the_breaker_and_each_attempt_is_its_trial(failed, waiting, trying):
    state = failures(failed)
    assert POLICY.breaker(state, trying=False) is waiting
    assert POLICY.breaker(state, trying=True) is trying


def test_the_hundredth_failure_parks_with_its_reason_and_probes_each_five_minutes():
    state = failures(99)
    assert not state.parked
    state, wait = fail(state, reason="timeout")
    assert state.parked == "100 attempts in a row failed, last: timeout"
    assert wait == 300.0
    assert not state.waiting_for_person
    again, wait = fail(state, reason="refused", random=ALMOST_ONE)
    assert again.parked == state.parked
    assert wait == 300.0


def test_a_wrong_key_parks_at_once_and_is_still_probed():
    state, wait = fail(RetryState(), cause=Cause.FATAL, reason="8050: address not registered")
    assert (state.parked, wait) == ("8050: address not registered", 300.0)
    state, wait = fail(state, reason="refused")
    assert (state.parked, wait) == ("8050: address not registered", 300.0)


def test_a_proven_probe_unparks():
    parked, _ = fail(RetryState(), cause=Cause.FATAL)
    assert POLICY.recovered(parked) == RetryState()


@pytest.mark.parametrize(
    ("kicks", "waits"),
    [
        ((0, 10, 20), (0.5, 1.0, None)),
        ((0, 300, 599), (0.5, 1.0, None)),
        ((0, 300, 600), (0.5, 1.0, 2.0)),  # the first is out of the ten minutes
        ((0, 300, 601, 650), (0.5, 1.0, 2.0, None)),
        ((0, 700, 1400, 2100, 2800), (0.5, 1.0, 2.0, 4.0, 30.0)),
    ],
)
def test_the_third_kick_in_ten_minutes_parks_until_a_person_resumes(kicks, waits):
    state, seen = RetryState(), []
    for at in kicks:
        state, wait = fail(state, at=float(at), cause=Cause.KICKED)
        seen.append(wait)
    assert tuple(seen) == waits
    assert state.waiting_for_person is (waits[-1] is None)
    assert ("same app key" in state.parked) is (waits[-1] is None)


def test_kicks_count_although_the_connection_proved_itself_between_them():
    state = RetryState()
    for at in (0.0, 200.0):
        state, _ = fail(state, at=at, cause=Cause.KICKED)
        state = POLICY.recovered(state)
    assert fail(state, at=400.0, cause=Cause.KICKED)[1] is None


def test_a_kick_ends_the_probing_of_a_session_that_was_parked_already():
    state, _ = fail(RetryState(), cause=Cause.FATAL)
    for at in (0.0, 1.0):
        state, wait = fail(state, at=at, cause=Cause.KICKED)
        assert wait == 300.0
    assert fail(state, at=2.0, cause=Cause.KICKED)[1] is None


def test_kicks_remembered_are_bounded():
    state = RetryState()
    for at in range(50):
        state, _ = fail(state, at=float(at), cause=Cause.KICKED)
    assert len(state.kicks) == CONFIG.kick_limit


def test_resume_forgets_failures_kicks_and_the_parking():
    state = failures(100)
    for at in range(3):
        state, _ = fail(state, at=float(at), cause=Cause.KICKED)
    assert POLICY.resume(state) == RetryState()


def test_a_breaker_opened_by_hand_stays_open_whatever_happens_until_it_is_closed():
    held = POLICY.hold(failures(2), "maintenance of the exchange")
    assert POLICY.breaker(held, trying=True) is Breaker.OPEN
    assert fail(held)[1] is None
    assert POLICY.resume(held).held == "maintenance of the exchange"
    assert POLICY.recovered(held).held == "maintenance of the exchange"
    released = POLICY.release(held)
    assert released == RetryState()
    assert POLICY.breaker(released, trying=False) is Breaker.CLOSED


def test_a_breaker_opened_without_a_reason_says_so():
    assert POLICY.hold(RetryState(), "").held == "no reason given"


@pytest.mark.parametrize(
    ("seconds", "most"),
    [
        (0.0, 1),
        (0.49, 1),
        (0.5, 2),
        (1.5, 3),
        (3.5, 4),
        (7.5, 5),
        (37.4, 5),
        (37.5, 6),
        (60.0, 6),
        (67.5, 7),
        (3600.0, 100),  # by then parked, with the first probes
    ],
)
def test_the_most_attempts_within_a_time_are_the_sum_of_the_shortest_waits(seconds, most):
    hundredth = 7.5 + 95 * 30.0
    probes = max(0, int((seconds - hundredth) // 300))
    assert POLICY.most_attempts(seconds) == most + probes


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=60),
    st.sampled_from([CONFIG, replace(CONFIG, attempt_limit=7), RetryConfig(attempt_limit=1)]),
)
def test_no_luck_of_the_dice_makes_more_attempts_than_the_stated_most(dice, config):
    policy, state, at = RetryPolicy(config), RetryState(), 0.0
    for attempt, random in enumerate(dice, 1):
        assert attempt <= policy.most_attempts(at)
        state, wait = fail(state, at=at, random=random, policy=policy)
        assert wait is not None
        at += wait + 1e-6
