"""Gaps end to end: what is recorded after an interruption, and what a client of ``/ws`` is told."""

from __future__ import annotations

import asyncio
import time

import pytest
import redis
import websockets

from gateway import keys
from gateway import slot as slots
from gateway.gaps import Flow
from gateway.placement import Placement
from gateway.status import MAX_GAPS, read_gaps
from tests.gateway.feed_world import Feed, reg, web_server
from tests.gateway.upstream_world import SLOT, TOPIC, Desk, Simulator, config_for, gateway
from tests.services import free_port, start_valkey, stop


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """The simulator's process, shared by the module."""
    simulator = Simulator(tmp_path_factory.mktemp("simulator"), "--pace", "2")
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(process):
    """The simulator without a fault."""
    process.switch("none")
    yield process
    process.switch("none")


@pytest.fixture
def desk(redis_client):
    """A wish for one topic, and what the gateway tells."""
    desk = Desk(redis_client)
    desk.want(TOPIC)
    return desk


async def gaps(desk):
    """Wait for a gap and return all, newest first."""
    return await desk.until(lambda: read_gaps(desk.client, SLOT), "a gap is recorded")


@pytest.mark.parametrize(
    ("fault", "reason", "changes"),
    [("refuse", "disconnected", {}), ("mute", "stale", {"stale_after": 0.7})],
)
async def test_an_interruption_is_recorded_once_it_is_over(simulator, desk, fault, reason, changes):
    async with gateway(config_for(simulator, **changes)):
        await desk.session("LIVE")
        await desk.rows(2)
        began = time.time()
        simulator.switch(fault)
        await desk.told(lambda status: status.session != "LIVE")
        assert read_gaps(desk.client, SLOT) == []
        simulator.switch("none")
        ended = time.time()
        (gap,) = await gaps(desk)
        assert (gap.slot, gap.topics, gap.count, gap.reason) == (SLOT, (TOPIC,), 1, reason)
        assert began - 1.5 <= gap.since <= began + 1.5
        assert began < gap.until <= ended + 10.0
        rows = await desk.rows(2)
        assert rows
        assert len(read_gaps(desk.client, SLOT)) == 1


async def test_an_interruption_outside_market_hours_or_without_topics_is_no_gap(simulator, desk):
    desk.want()
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        simulator.switch("refuse")
        await desk.session("BACKOFF")
        simulator.switch("none")
        await desk.session("LIVE")
        desk.want(TOPIC)
        await desk.rows(3)
        assert read_gaps(desk.client, SLOT) == []


async def test_a_gateway_that_starts_again_knows_when_the_last_one_ended(simulator, desk):
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        await desk.rows(2)
    ended = time.time()
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        (gap,) = await gaps(desk)
    assert gap.reason == "owner"
    assert ended - 2.5 <= gap.since <= ended
    assert gap.until > ended


async def test_the_gap_of_each_lost_key_is_kept_although_rows_arrive_while_it_is_read(tmp_path, desk):
    lost = {f"key-{number}": f"{200_000 + number}" for number in range(2, 17)}
    busy = Simulator(tmp_path, "--pace", "50")
    busy.start()
    here = tuple(f"{100_000 + number}" for number in range(20))
    desk.want(*(f"0B:{item}" for item in (*here, *lost.values())))
    placed = {SLOT: here, **{slot: (item,) for slot, item in lost.items()}}
    desk.client.set(keys.PLACEMENT, Placement(placed).encode())
    desk.client.sadd(keys.SLOTS, *lost)
    for slot, item in lost.items():
        desk.client.set(keys.LEASE.format(slot=slot), "another:1:x|1", px=60_000)
        desk.client.set(keys.FLOW.format(slot=slot), Flow(at=time.time(), topics=(f"0B:{item}",)).encode())
    try:
        async with gateway(config_for(busy)):
            await desk.told(lambda status: status.topics == 20)
            await desk.rows(5, "0B:100000")
            desk.client.delete(*(keys.LEASE.format(slot=slot) for slot in lost))
            await desk.until(lambda: len(read_gaps(desk.client, SLOT)) >= len(lost), "each gap is recorded")
    finally:
        busy.stop()
    found = [topic for gap in read_gaps(desk.client, SLOT) for topic in gap.topics]
    assert sorted(found) == [f"0B:{item}" for item in sorted(lost.values())]


async def test_the_newest_two_hundred_are_kept(simulator, desk):
    for number in range(MAX_GAPS + 10):
        desk.client.lpush(f"gateway:gaps:{SLOT}", b'{"slot":"%d"}' % number)
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        await desk.rows(2)
        simulator.switch("refuse")
        await desk.session("BACKOFF")
        simulator.switch("none")
        await desk.until(lambda: desk.client.llen(f"gateway:gaps:{SLOT}") == MAX_GAPS)
    assert read_gaps(desk.client, SLOT, 1)[0].reason == "disconnected"


@pytest.mark.slow
async def test_a_redis_that_is_away_for_less_than_a_status_leaves_a_gap(
    simulator, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(slots, "STATUS_EVERY", 60.0)
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    valkey = start_valkey(tmp_path, port)
    try:
        with redis.Redis.from_url(url) as client:
            desk = Desk(client)
            desk.want(TOPIC)
            async with gateway(config_for(simulator), url):
                await desk.rows(2)
                client.save()
                await asyncio.to_thread(stop, valkey)
                await desk.until(lambda: "Redis does not answer" in caplog.text)
                valkey = await asyncio.to_thread(start_valkey, tmp_path, port)
                (gap,) = await gaps(desk)
                assert (gap.topics, gap.reason) == ((TOPIC,), "redis")
    finally:
        stop(valkey)


async def test_after_a_redis_that_died_and_came_back_the_client_is_still_there_and_told(
    simulator, tmp_path, caplog
):
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    valkey = start_valkey(tmp_path, port)
    try:
        with web_server(tmp_path / "web", url) as web, redis.Redis.from_url(url) as client:
            desk = Desk(client)
            async with gateway(config_for(simulator), url), websockets.connect(web.ws) as socket:
                feed = Feed(socket)
                token = await asyncio.to_thread(lambda: web.token(web.feed_key("one")))
                await feed.login(token)
                await feed.send(reg("005930", "000660"))
                await feed.until("REG", return_code=0)
                await feed.until("REAL", within=20)
                await desk.told(lambda status: status.topics == 2)
                client.save()  # as a Redis with persistence does; feed tokens live there too
                lost = time.time()
                await asyncio.to_thread(stop, valkey)  # the gateway runs in this loop and has to notice
                await feed.until("SYSTEM", within=20, message="reconnecting")
                # A Redis that is back before the next row costs the gateway nothing, and leaves no gap.
                await desk.until(lambda: "Redis does not answer" in caplog.text)
                noticed = time.time()
                valkey = await asyncio.to_thread(start_valkey, tmp_path, port)
                told = await feed.until("SYSTEM", within=40, code="B1008")
                assert (told["topics"], told["count"], told["reason"]) == (
                    ["0B:000660", "0B:005930"],
                    2,
                    "redis",
                )
                (gap,) = await gaps(desk)
                assert lost - 2.0 <= gap.since <= noticed + 1.0
                await feed.until("REAL", within=20)
    finally:
        stop(valkey)
