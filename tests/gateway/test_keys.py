"""Two app keys over two real gateway processes: each item on exactly one key, whatever happens."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack

import pytest

from gateway import keys
from gateway.status import read_gaps
from tests.gateway.upstream_world import Desk, Simulator, config_for, gateway, manage

PAIRS = {"KIWOOM_APP_KEY": "first,second", "KIWOOM_SECRET_KEY": "secret-1,secret-2"}
SLOTS = ("key-1", "key-2")


def topics(count):
    """Return topics of that many items."""
    return [f"0B:{number:06}" for number in range(count)]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """A simulator that knows both keys and lets a connection have 30 items."""
    env = {"KIWOOM_MODE": "simulator", **PAIRS}
    simulator = Simulator(tmp_path_factory.mktemp("simulator"), "--cap", "30", **env)
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def desk(redis_client):
    """What the gateways tell."""
    return Desk(redis_client)


@pytest.fixture
def start(simulator, desk, tmp_path):
    """Start a gateway's process with both keys."""
    env = {
        "KIWOOM_MODE": "simulator",
        "KIWOOM_REST_URL": f"http://{simulator.address}",
        "KIWOOM_WS_URL": f"ws://{simulator.address}",
        "REDIS_URL": os.environ["REDIS_URL"],
        "GATEWAY_START_JITTER": "0",
        "GATEWAY_LEASE_TTL": "4",
        "GATEWAY_LEASE_RENEW": "0.5",
        "GATEWAY_LINGER": "0.5",
        **PAIRS,
    }
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(manage(tmp_path, "run_gateway", **env | more))


def held_by(desk, slot):
    """Return the process number of a slot's owner, 0 when there is none."""
    raw = desk.client.get(keys.LEASE.format(slot=slot))
    return int(raw.decode().split(":")[-2]) if raw else 0


async def shared(start, desk):
    """Start two processes of which each owns one key; returns them in the order of the keys."""
    lease = keys.LEASE.format(slot="key-2")
    desk.client.set(lease, "nobody:0:x|1", px=60_000)
    first = start()
    await desk.until(lambda: held_by(desk, "key-1") == first.pid, within=30)
    second = start()
    await desk.until(lambda: desk.client.zcard(keys.STANDBY.format(slot="key-1")) == 1, within=30)
    first.send_signal(signal.SIGSTOP)  # so that the second is the one that takes the second key
    desk.client.delete(lease)
    await desk.until(lambda: held_by(desk, "key-2") == second.pid)
    first.send_signal(signal.SIGCONT)
    assert held_by(desk, "key-1") == first.pid
    return first, second


def registered(simulator):
    """Return the topics of each connection, as the server has them."""
    return [set(one) for one in simulator.state()["topics"]]


def together(simulator):
    """Return all registered topics and how often a topic is registered twice."""
    connections = registered(simulator)
    everything = set().union(*connections)
    return everything, sum(map(len, connections)) - len(everything)


async def test_two_processes_share_the_items_and_take_over_each_others(start, desk, simulator):
    desk.want(*topics(40))
    first, second = await shared(start, desk)
    # The cap of 30 is not configured: both keys learn it, and the overflow of one moves to the other.
    await desk.until(lambda: together(simulator) == (set(topics(40)), 0), "each item once", within=30)
    assert [len(one) for one in registered(simulator)] != [0, 40]
    for _ in range(20):
        assert together(simulator)[1] == 0
    desk.want(*topics(70))
    await desk.until(lambda: len(together(simulator)[0]) == 60, "both keys are full", within=30)
    await desk.until(
        lambda: (
            [(status.capacity, status.free) for status in statuses(desk)] == [(30, 0), (30, 0)]
            and [status.unplaced for status in statuses(desk)] == [10, 0]
        ),
        "both keys know their caps and ten topics have no place",
        within=30,
    )
    full = statuses(desk)
    named = [topic for status in full for topic in status.unplaced_topics]
    assert set(named) == set(topics(70)) - together(simulator)[0]
    assert together(simulator)[1] == 0

    desk.want(*topics(20))
    await desk.until(lambda: together(simulator) == (set(topics(20)), 0), "the rest is removed", within=30)
    second.kill()
    await desk.until(lambda: held_by(desk, "key-2") == first.pid, "the first takes both keys")
    await desk.until(lambda: together(simulator) == (set(topics(20)), 0), "each item once", within=30)
    assert first.poll() is None


def statuses(desk):
    """Return the statuses of both slots."""
    return [status for slot in SLOTS if (status := desk.status(slot)) is not None]


async def test_items_of_a_key_that_nobody_can_take_over_move_to_the_other(start, desk, simulator):
    first = start(KIWOOM_APP_KEY="first", KIWOOM_SECRET_KEY="secret-1")
    await desk.until(lambda: held_by(desk, "key-1") == first.pid, within=30)
    second = start()
    await desk.until(lambda: held_by(desk, "key-2") == second.pid, within=30)
    desk.want(*topics(40))
    await desk.until(lambda: together(simulator) == (set(topics(40)), 0), "each item once", within=30)
    kept = [f"0B:{number:06}" for number in (*range(5), *range(35, 40))]
    desk.want(*kept)
    await desk.until(lambda: together(simulator) == (set(kept), 0), within=30)
    assert all(registered(simulator))
    status = await desk.told(lambda status: 0 < status.topics < 10)
    assert read_gaps(desk.client, "key-1") == []
    killed = time.time()
    second.kill()
    await desk.until(lambda: registered(simulator) == [set(kept)], "one key has them all", within=30)
    (gap,) = await desk.until(lambda: read_gaps(desk.client, "key-1"), "the gap of what moved is recorded")
    assert (gap.count, gap.reason) == (10 - status.topics, "owner")
    assert killed - 2.0 <= gap.since <= killed < gap.until


async def test_an_accepted_code_that_brings_nothing_is_named_and_the_feed_goes_on(simulator, desk):
    desk.want("0B:005930", "0B:nothing")
    async with gateway(config_for(simulator, silent_after=1.0)):
        status = await desk.told(lambda status: status.silent == 1)
        assert status.silent_topics == ("0B:nothing",)
        assert (status.session, status.topics, status.attempts_total) == ("LIVE", 2, 1)
        assert await desk.rows()
