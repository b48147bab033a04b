"""What a drill must show: the judge, and the session fast-forwarded to the end of its patience."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.config import AppKey, Mode, RetryConfig, UpstreamConfig
from gateway.drills import plan
from gateway.drills.forward import MOST, fast_forward
from gateway.drills.plan import PLANS, Drill, Forward, Measured, Rule, Try, judge
from gateway.drills.stage import settings_of_running

KEY = AppKey("drill", "app", "secret")
CONFIG = UpstreamConfig(
    mode=Mode.SIMULATOR, rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1", keys=(KEY,)
)


def tries(*waits: float) -> tuple[Try, ...]:
    """Return attempts with these waits between them."""
    first = Try(0.0, None, "refused", "")
    return (first, *(Try(0.0, wait, "refused", "") for wait in waits))


GOOD = Measured(
    drill=Drill.RETRY_STORM,
    window_s=60.0,
    tries=tries(0.7, 1.4, 2.9, 6.0, 30.0),
    told={"reconnecting": 0.1},
    told_s=0.05,
    stale_after_s=90.0,
    breaker_opened_s=11.0,
    lines=2,
    levels={"WARNING": 2},
    cpu_s=0.1,
    memory=100 * 2**20,
    recovered_s=12.0,
    forward=Forward(100, True, 5657.0, 96),
)


def unmet(measured: Measured) -> set[str]:
    """Return the rules that were not met."""
    return {check.rule for check in judge(measured) if not check.met}


def test_a_gateway_that_waits_longer_each_time_and_says_so_passes() -> None:
    assert unmet(GOOD) == set()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"tries": tries()}, Rule.MET),
        ({"tries": tries(*[4.0] * 9, 60.0)}, Rule.ATTEMPTS),
        ({"tries": tries(0.0, 0.0, 0.0, 30.0)}, Rule.WAITS),
        ({"tries": tries(*[7.0] * 7)}, Rule.WAITS),
        ({"breaker_opened_s": None}, Rule.BREAKER),
        ({"forward": Forward(MOST, False, 9e9, 1)}, Rule.LIMIT),
        ({"forward": None}, Rule.LIMIT),
        ({"forward": Forward(100, True, 60.0, 101)}, Rule.HOURLY),
        ({"lines": 6}, Rule.LINES),
        ({"levels": {"INFO": 1, "WARNING": 1}}, Rule.LEVEL),
        ({"cpu_s": 3.1}, Rule.CPU),
        ({"memory": 201 * 2**20}, Rule.MEMORY),
        ({"told_s": 2.1}, Rule.TOLD),
        ({"told_s": None}, Rule.TOLD),
        ({"recovered_s": None}, Rule.RECOVERED),
    ],
)
def test_each_expectation_fails_by_itself(change: dict[str, Any], rule: Rule) -> None:
    assert rule in unmet(replace(GOOD, **change))


def test_a_mute_server_must_be_told_to_be_stale_and_a_rejected_token_must_park() -> None:
    mute = replace(GOOD, drill=Drill.MUTE, tries=(), told={"stale": 90.4})
    assert unmet(mute) == set()
    assert unmet(replace(mute, told={"reconnecting": 50.0})) == {Rule.STALE}
    assert unmet(replace(mute, tries=tries(1.0, 1.0))) == {Rule.ATTEMPTS}

    token = replace(GOOD, drill=Drill.BAD_TOKEN, tries=tries(1.0), told={"reconnecting": 0.1, "parked": 3.0})
    assert unmet(token) == set()
    assert unmet(replace(token, told={"reconnecting": 0.1})) == {Rule.PARKED}
    assert unmet(replace(token, tries=tries(1.0, 2.0, 4.0))) == {Rule.ATTEMPTS}


def test_a_measurement_survives_its_json() -> None:
    assert Measured.from_json(GOOD.as_json() | {"of another version": 1}) == GOOD


def test_the_shipped_settings_park_after_a_hundred_attempts_and_few_lines() -> None:
    found = fast_forward(CONFIG, KEY)
    assert (found.attempts, found.parked) == (100, True)
    assert found.seconds < 2 * 3600
    assert found.lines <= plan.LINES_PER_HOUR * found.seconds / 3600


def test_a_session_that_never_gives_up_is_found_out() -> None:
    endless = replace(CONFIG, retry=RetryConfig(attempt_limit=10**9))
    found = fast_forward(endless, KEY)
    assert (found.attempts, found.parked) == (MOST, False)
    without = fast_forward(replace(CONFIG, retry=RetryConfig(base=0.0, cap=0.0)), KEY)
    assert (without.attempts, without.seconds) == (100, 0.0)


def test_the_running_gateways_retry_settings_are_drilled_not_ours() -> None:
    told = {"base": 0.0, "attempt_limit": 7, "of another version": 1}
    found = settings_of_running(told, CONFIG).retry
    assert (found.base, found.attempt_limit, found.cap) == (0.0, 7, CONFIG.retry.cap)


def test_every_drill_is_bounded() -> None:
    assert set(PLANS) == set(Drill)
    assert all(one.seconds <= plan.LONGEST_FAULT_S for one in PLANS.values())
    assert plan.LONGEST_S <= 300
