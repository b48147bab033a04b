"""The stage with a real rig: the gateway's code in a process of its own, measured from outside."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest
import redis

from gateway.config import RetryConfig
from gateway.drills.plan import PLANS, Drill, Measured, Rule, judge
from gateway.drills.rig import Orders
from gateway.drills.stage import DrillAborted, DrillBroken, Progress, Stage
from tests.gateway.test_drill_plan import CONFIG

RIG = [sys.executable, "manage.py", "drill_rig", "--out"]


async def on(_measured: Measured) -> bool:
    return True


def stage(
    retry: RetryConfig, progress: Progress = on, *, seconds: float = 5.0, rig: list[str] | None = None
) -> Stage:
    """Return the stage of a short retry storm."""
    return Stage(
        replace(PLANS[Drill.RETRY_STORM], seconds=seconds),
        replace(CONFIG, retry=retry),
        command=RIG if rig is None else rig,
        environment=os.environ,
        redis_url=os.environ["REDIS_URL"],
        ident="test",
        progress=progress,
    )


@pytest.mark.slow
@pytest.mark.timed
async def test_backoff_is_seen_and_its_absence_too(redis_client: redis.Redis) -> None:
    seen = await stage(RetryConfig(base=0.5, cap=4.0)).play()
    rules = {check.rule: check.met for check in judge(seen)}
    # The bounds are for the shipped policy; of so quick a one the measurement itself is looked at.
    assert seen.attempts >= 2
    assert min(seen.waits) >= 0.2
    assert "reconnecting" in seen.told
    assert seen.lines == sum(seen.levels.values()) >= 1
    assert seen.cpu_s > 0
    assert seen.recovered_s is not None
    assert rules[Rule.LEVEL]
    assert rules[Rule.LIMIT]
    assert redis_client.keys() == [], "no lease, no status, no slot"

    hot = await stage(RetryConfig(base=0.0, cap=0.0), seconds=3.0).play()
    unmet = {check.rule for check in judge(hot) if not check.met}
    assert {Rule.ATTEMPTS, Rule.WAITS} <= unmet
    assert hot.attempts <= 2 * RetryConfig().attempt_limit
    assert hot.resumed, "it parked at its limit and was resumed"


@pytest.mark.slow
async def test_an_abort_ends_it_and_so_does_a_rig_that_dies() -> None:
    async def off(_measured: Measured) -> bool:
        return False

    with pytest.raises(DrillAborted):
        await stage(RetryConfig(), off).play()
    with pytest.raises(DrillBroken, match="ended with 3"):
        await stage(RetryConfig(), rig=[sys.executable, "-c", "raise SystemExit(3)"]).play()


async def test_a_fault_that_cannot_show_in_time_is_not_played() -> None:
    mute = stage(RetryConfig())
    mute._plan, mute._config = PLANS[Drill.MUTE], replace(CONFIG, stale_after=500.0)
    with pytest.raises(DrillBroken, match="GATEWAY_STALE_AFTER"):
        await mute.play()


@pytest.mark.parametrize("url", ["https://api.kiwoom.com", "http://localhost:1"])
def test_a_rig_speaks_to_loopback_only(url: str) -> None:
    good = Orders(CONFIG, "gateway:drill:1").write()
    assert Orders.read(good).config == CONFIG
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Orders.read(good.replace(b'"http://127.0.0.1:1"', f'"{url}"'.encode()))
