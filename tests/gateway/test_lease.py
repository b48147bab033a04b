"""One owner for each app key: the lease in a real Valkey, and real gateway processes that hand it over."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack, asynccontextmanager

import pytest
from redis import Redis

from gateway import keys
from gateway.bus import TIMEOUT, Bus
from gateway.lease import STANDBY_TTL, Lease
from gateway.protocol import Row
from gateway.redis_client import connect
from gateway.status import read_gaps
from tests.conditions import wait_until
from tests.gateway.upstream_world import SLOT, TOPIC, Desk, Simulator, config_for, gateway, manage
from tests.services import free_port, start_valkey, stop

LEASE, FENCE = keys.LEASE.format(slot=SLOT), keys.FENCE.format(slot=SLOT)


@asynccontextmanager
async def leases(*owners, ttl=30.0, url=None):
    """Yield a lease of the slot for each owner, as their processes have it."""
    clients = [connect(url or os.environ["REDIS_URL"]) for _ in owners]
    try:
        yield [Lease(client, SLOT, owner, ttl) for client, owner in zip(clients, owners, strict=True)]
    finally:
        for client in clients:
            await client.aclose()


async def test_one_owner_has_it_and_the_other_is_told_who(redis_client):
    async with leases("host-a:1:x", "host-b:2:y") as (first, second):
        assert await first.acquire()
        assert not await second.acquire()
        assert second.holder == "host-a:1:x"
        assert second.fence == 0


async def test_of_twenty_that_ask_at_once_one_gets_it(redis_client):
    async with leases(*(f"host:{number}" for number in range(20))) as many:
        assert sum(await asyncio.gather(*(lease.acquire() for lease in many))) == 1


async def test_renewing_keeps_the_fence_and_starts_the_time_anew(redis_client):
    async with leases("a", ttl=30.0) as (lease,):
        assert await lease.acquire()
        fence = lease.fence
        redis_client.pexpire(LEASE, 5_000)
        assert await lease.acquire()
        assert lease.fence == fence
        assert 29_000 < redis_client.pttl(LEASE) <= 30_000


async def test_a_lapsed_lease_goes_to_the_next_with_a_higher_fence(redis_client):
    async with leases("a", "b", ttl=0.2) as (first, second):
        assert await first.acquire()
        await asyncio.to_thread(wait_until, lambda: not redis_client.exists(LEASE))
        assert await second.acquire()
        assert second.fence > first.fence
        assert not await first.acquire()


async def test_an_owner_that_lapsed_and_came_back_has_a_higher_fence(redis_client):
    async with leases("a") as (lease,):
        assert await lease.acquire()
        before = lease.fence
        redis_client.delete(LEASE)
        assert await lease.acquire()
        assert lease.fence > before


async def test_a_released_lease_is_free_and_only_its_owner_releases_it(redis_client):
    async with leases("a", "b") as (first, second):
        assert await first.acquire()
        await second.release()
        assert not await second.acquire()
        await first.release()
        assert await second.acquire()


async def test_an_owner_whose_name_has_bars_in_it_is_still_itself(redis_client):
    async with leases("odd|name|7", "odd") as (odd, other):
        assert await odd.acquire()
        assert await odd.acquire()
        assert not await other.acquire()
        assert other.holder == "odd|name|7"
        await odd.release()
        assert await other.acquire()


async def test_the_fence_grows_although_redis_came_back_empty(redis_client):
    async with leases("a", "b") as (first, second):
        assert await first.acquire()
        redis_client.flushdb()
        await asyncio.to_thread(wait_until, lambda: int(time.time() * 1000) > first.fence)
        assert await second.acquire()
        assert second.fence > first.fence


async def test_the_fence_grows_although_the_clock_went_back(redis_client):
    ahead = int(time.time() * 1000) + 3_600_000
    redis_client.set(FENCE, ahead)
    async with leases("a") as (lease,):
        assert await lease.acquire()
        assert lease.fence == ahead + 1
        assert redis_client.get(LEASE) == b"a|%d" % (ahead + 1)


async def test_a_lease_is_believed_in_for_its_ttl_by_the_owners_own_clock(redis_client):
    now = 1000.0
    client = connect(os.environ["REDIS_URL"])
    try:
        lease = Lease(client, SLOT, "a", 15.0, clock=lambda: now)
        assert not lease.held
        assert await lease.acquire()
        assert lease.text == redis_client.get(LEASE).decode()
        now += 14.9
        assert lease.held
        now += 0.1
        assert not lease.held
        assert await lease.acquire()
        assert lease.held
        await lease.release()
        assert not lease.held
    finally:
        await client.aclose()


def rows_of(*numbers):
    """Return rows of the one topic."""
    return [Row(TOPIC, b'{"values":{"10":"%d"}}' % number) for number in numbers]


@asynccontextmanager
async def buses(redis_client, *owners, ttl=30.0):
    """Yield a bus and a lease for each owner, and what is published meanwhile."""
    with redis_client.pubsub() as heard:
        heard.subscribe(keys.ROWS_CHANNEL.format(topic=TOPIC))
        assert heard.get_message(timeout=5.0)  # the confirmation
        async with leases(*owners, ttl=ttl) as held:
            refused: list[str] = []
            yield [Bus(lease._client, on_refused=refused.append) for lease in held], held, refused, heard


def published(heard):
    """Return the rows published so far, each with its fence."""
    found = []
    while message := heard.get_message(ignore_subscribe_messages=True, timeout=0.1):
        found.append(message["data"])
    return found


async def test_rows_queued_before_a_sleep_through_the_lease_are_not_written(redis_client):
    async with buses(redis_client, "a") as ((bus,), (lease,), refused, heard):
        assert await lease.acquire()
        bus.publish(lease, rows_of(1))
        lease._expires = float("-inf")  # as after a sleep longer than the TTL
        await bus.flush()
        bus.publish(lease, rows_of(2))
        await bus.flush()
        assert published(heard) == []
        assert bus.rows_dropped == 2
        assert refused == []
        assert not redis_client.exists(keys.LAST)


@pytest.mark.parametrize("taken", [True, False], ids=["another owns it", "redis lost everything"])
async def test_redis_itself_refuses_rows_of_an_owner_that_still_believes_in_its_lease(redis_client, taken):
    async with buses(redis_client, "a", "b") as (both, (old, new), refused, heard):
        assert await old.acquire()
        both[0].publish(old, rows_of(1))
        redis_client.flushdb()
        if taken:
            assert await new.acquire()
            both[1].publish(new, rows_of(2))
            await both[1].flush()
        assert old.held
        await both[0].flush()
        assert published(heard) == ([b'%d|{"values":{"10":"2"}}' % new.fence] if taken else [])
        assert (refused, both[0].rows_dropped) == ([SLOT], 1)
        last = redis_client.hget(keys.LAST, TOPIC)
        assert (last or b"").startswith(b"%d|" % new.fence if taken else b"")


async def test_what_waits_of_a_lease_that_is_over_is_forgotten(redis_client):
    async with buses(redis_client, "a") as ((bus,), (lease,), _, heard):
        assert await lease.acquire()
        bus.publish(lease, rows_of(1, 2))
        bus.forget(lease)
        await bus.flush()
        assert published(heard) == []
        assert bus.rows_dropped == 2


async def test_an_owner_whose_lease_redis_lost_takes_it_again_at_once(simulator, desk):
    async with gateway(config_for(simulator, lease_ttl=60.0, lease_renew=30.0)):
        before = await desk.session("LIVE")
        await desk.rows()
        desk.client.delete(LEASE, FENCE)
        rows = await desk.rows(5, within=10.0)
        after = await desk.told(lambda status: status.fence > before.fence)
        assert int(rows[-1].partition(b"|")[0]) == after.fence
        assert after.attempts_total == 1
        (gap,) = await desk.until(lambda: read_gaps(desk.client, SLOT), "the refused row is told as a gap")
        assert (gap.reason, gap.topics) == ("redis", (TOPIC,))


async def test_standbys_are_the_others_that_reported_lately(redis_client):
    async with leases("owner", "b", "c") as (owner, second, third):
        await second.stand_by()
        await third.stand_by()
        await owner.stand_by()
        assert await owner.standbys() == 2
        redis_client.zadd(keys.STANDBY.format(slot=SLOT), {"b": time.time() - STANDBY_TTL - 1})
        assert await owner.standbys() == 1
        assert 0 < redis_client.ttl(keys.STANDBY.format(slot=SLOT)) <= 60


async def test_a_frozen_redis_is_an_error_within_the_bound_and_a_live_one_works_again(tmp_path):
    port = free_port()
    valkey = start_valkey(tmp_path, port)
    try:
        async with leases("a", url=f"redis://127.0.0.1:{port}/0") as (lease,):
            assert await lease.acquire()
            valkey.send_signal(signal.SIGSTOP)
            for ask in (lease.acquire, lease.stand_by, lease.standbys, lease.release):
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    await ask()
                assert time.monotonic() - began < TIMEOUT + 1
            valkey.send_signal(signal.SIGCONT)
            assert await lease.acquire()
    finally:
        valkey.send_signal(signal.SIGCONT)
        stop(valkey)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """The simulator's process."""
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def desk(redis_client):
    """A wish for one topic, and what the gateways tell."""
    desk = Desk(redis_client)
    desk.want(TOPIC)
    return desk


@pytest.fixture
def start(simulator, desk, tmp_path):
    """Start a gateway's process with a lease of two seconds."""
    env = {
        "KIWOOM_MODE": "simulator",
        "KIWOOM_REST_URL": f"http://{simulator.address}",
        "KIWOOM_WS_URL": f"ws://{simulator.address}",
        "REDIS_URL": os.environ["REDIS_URL"],
        "GATEWAY_START_JITTER": "0",
        "GATEWAY_LEASE_TTL": "2",
        "GATEWAY_LEASE_RENEW": "0.5",
    }
    with ExitStack() as stack:
        yield lambda: stack.enter_context(manage(tmp_path, "run_gateway", **env))


async def two(start, desk):
    """Start two processes; return the owner's, the standby's, and the owner's status."""
    first = start()
    await desk.session("LIVE", within=30)
    second = start()
    status = await desk.told(lambda status: status.standbys == 1, "a standby", within=30)
    assert f":{first.pid}:" in status.owner
    return first, second, status


async def test_a_killed_owner_is_replaced_with_topics_and_a_higher_fence(start, desk, simulator):
    first, second, before = await two(start, desk)
    first.kill()
    after = await desk.told(lambda status: f":{second.pid}:" in status.owner and status.session == "LIVE")
    assert after.fence > before.fence
    rows = await desk.rows(2)
    assert {int(row.partition(b"|")[0]) for row in rows} == {after.fence}
    assert simulator.state()["open"] == 1


async def test_an_owner_told_to_stop_hands_over_at_once(start, desk):
    first, second, before = await two(start, desk)
    first.terminate()
    began = time.monotonic()
    after = await desk.told(lambda status: f":{second.pid}:" in status.owner and status.session == "LIVE")
    assert time.monotonic() - began < 5.0
    assert after.fence > before.fence
    assert await asyncio.to_thread(first.wait, 10) == 0


async def test_an_owner_that_slept_through_its_lease_stands_by_and_takes_nothing_back(start, desk, simulator):
    first, second, before = await two(start, desk)
    first.send_signal(signal.SIGSTOP)
    try:
        after = await desk.told(lambda status: f":{second.pid}:" in status.owner and status.session == "LIVE")
    finally:
        first.send_signal(signal.SIGCONT)
    logins = simulator.state()["logins"]
    status = await desk.told(lambda status: status.standbys == 1, "the sleeper stands by")
    assert f":{second.pid}:" in status.owner
    rows = await desk.rows(20)
    fences = {int(row.partition(b"|")[0]) for row in rows}
    assert after.fence > before.fence
    assert fences == {after.fence}
    assert simulator.state()["logins"] == logins


async def test_an_owner_that_lost_its_lease_lets_go_and_takes_over_when_it_is_free(simulator, desk):
    async with gateway(config_for(simulator, lease_ttl=2.0, lease_renew=0.2)):
        before = await desk.session("LIVE")
        desk.client.set(LEASE, f"another:1:z|{before.fence + 1}", px=1_500)
        desk.client.set(FENCE, before.fence + 1)
        await desk.until(lambda: simulator.state()["open"] == 0, "the connection is let go")
        after = await desk.told(lambda status: status.fence > before.fence + 1 and status.session == "LIVE")
        assert after.owner == before.owner
        assert await desk.rows()
        assert desk.attempts()[-2].outcome == "stopped" or desk.attempts()[-1].outcome == "live"


async def test_a_stop_is_not_forgotten_while_a_lost_lease_is_let_go(simulator, desk):
    async with gateway(config_for(simulator, lease_ttl=2.0, lease_renew=0.2), within=5.0):
        status = await desk.session("LIVE")
        simulator.process.send_signal(signal.SIGSTOP)  # closing the connection takes its time
        try:
            desk.client.set(LEASE, f"another:1:z|{status.fence}", px=60_000)
            await desk.session("IDLE")
        finally:
            asyncio.get_running_loop().call_later(2, simulator.process.send_signal, signal.SIGCONT)
    assert desk.client.get(LEASE) == f"another:1:z|{status.fence}".encode()


def test_the_lease_of_a_process_that_ended_well_is_free(start, desk):
    process = start()
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        wait_until(lambda: client.exists(LEASE), 30, "the gateway has its lease")
        process.terminate()
        assert process.wait(10) == 0
        assert not client.exists(LEASE)
