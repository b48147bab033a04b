"""The gateway's side of Redis while Redis is away, with a real server that dies and returns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from redis import Redis
from redis.exceptions import RedisError

from gateway.bus import MAX_ATTEMPTS, Bus
from gateway.lease import Lease
from gateway.redis_client import connect
from gateway.status import Attempt, read_attempts
from tests.conditions import wait_until
from tests.gateway.upstream_world import SLOT, TOPIC, Desk, Simulator, config_for, gateway
from tests.services import free_port, start_valkey, stop


@pytest.fixture
def simulator(tmp_path) -> Iterator[Simulator]:
    """The simulator's process."""
    simulator = Simulator(tmp_path)
    simulator.start()
    yield simulator
    simulator.stop()


async def test_redis_may_die_and_return_empty_without_the_upstream_connection_ending(simulator, tmp_path):
    port = free_port()
    valkey = start_valkey(tmp_path, port)
    try:
        with Redis(port=port) as client:
            desk = Desk(client)
            async with gateway(config_for(simulator), f"redis://127.0.0.1:{port}/0"):
                desk.want(TOPIC)
                before = await desk.session("LIVE")
                assert await desk.rows()
                await asyncio.to_thread(stop, valkey)
                await asyncio.to_thread(wait_until, lambda: simulator.state()["open"] == 1)
                valkey = await asyncio.to_thread(start_valkey, tmp_path, port)
                desk.want(TOPIC)
                after = await desk.session("LIVE")
                await desk.told(lambda status: status.fence > before.fence)
                assert await desk.rows(3)
                assert after.attempts_total == 1
                assert simulator.state()["logins"] == 1
    finally:
        stop(valkey)


async def test_that_redis_ceased_to_answer_is_told_at_once():
    away = connect(f"redis://127.0.0.1:{free_port()}/0")
    told = asyncio.Event()
    bus = Bus(away, on_down=told.set)
    bus.note(
        Lease(away, SLOT, "a", 30.0), Attempt(at=0.0, number=1, delay_before=1.0, outcome="x"), replace=False
    )
    writing = asyncio.create_task(bus.write())
    async with asyncio.timeout(10):
        await told.wait()
    assert bus.down_since is not None
    writing.cancel()
    await away.aclose()


async def test_of_more_attempts_than_are_kept_while_redis_is_away_the_newest_stay(tmp_path):
    port = free_port()
    away = connect(f"redis://127.0.0.1:{port}/0")
    bus, lease = Bus(away), Lease(away, SLOT, "a", 30.0)
    for number in range(MAX_ATTEMPTS + 50):
        flushing = asyncio.create_task(bus.flush())
        await asyncio.sleep(0)  # it has taken what waits
        bus.note(lease, Attempt(at=0.0, number=number, delay_before=1.0, outcome="refused"), replace=False)
        with suppress(RedisError, OSError):
            await flushing
    valkey = start_valkey(tmp_path, port)
    try:
        await bus.flush()
        with Redis(port=port) as client:
            kept = [attempt.number for attempt in read_attempts(client, SLOT)]
    finally:
        await away.aclose()
        stop(valkey)
    assert kept == list(range(MAX_ATTEMPTS + 49, 49, -1))
