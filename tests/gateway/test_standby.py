"""Two real gateway processes on one Redis, and a real client of ``/ws`` that notices a gap at most."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import websockets

from gateway import keys
from gateway.status import read_gaps
from tests.gateway.feed_world import Feed, reg, web_server
from tests.gateway.upstream_world import SLOT, TOPIC, Desk, Simulator, manage

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """The simulator's process."""
    simulator = Simulator(tmp_path_factory.mktemp("simulator"), "--pace", "3")
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web server on the run's Valkey."""
    with web_server(tmp_path_factory.mktemp("web"), os.environ["REDIS_URL"]) as web:
        yield web


@pytest.fixture
def desk(redis_client):
    """What the gateways tell."""
    return Desk(redis_client)


@pytest.fixture
def start(simulator, desk, tmp_path):
    """Start a gateway's process; the words change its environment."""
    with ExitStack() as stack:

        def start(**env):
            env = {
                "KIWOOM_MODE": "simulator",
                "KIWOOM_REST_URL": f"http://{simulator.address}",
                "KIWOOM_WS_URL": f"ws://{simulator.address}",
                "REDIS_URL": os.environ["REDIS_URL"],
                "GATEWAY_START_JITTER": "0",
                **env,
            }
            return stack.enter_context(manage(tmp_path, "run_gateway", **env))

        yield start


class Listener:
    """A client of ``/ws`` with one topic; it keeps the running volume of each row, and all else."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.volumes: list[int] = []
        self.system: list[dict[str, Any]] = []

    async def follow(self) -> None:
        while True:
            frame = await self.feed.receive(within=60)
            if frame["trnm"] == "SYSTEM":
                self.system.append(frame)
            self.volumes += [int(row["values"]["13"]) for row in frame.get("data") or ()]

    def gaps(self):
        """Return the gaps it was told."""
        return [frame for frame in self.system if frame["code"] == "B1008"]


@asynccontextmanager
async def listening(web, name):
    """Connect a client that wants the one topic, and let it follow the feed until the block ends."""
    token = await asyncio.to_thread(lambda: web.token(web.feed_key(name)))
    async with websockets.connect(web.ws) as socket:
        feed = Feed(socket)
        assert (await feed.login(token))["return_code"] == 0
        await feed.send(reg("005930"))
        await feed.until("REG", return_code=0)
        listener = Listener(feed)
        following = asyncio.create_task(listener.follow())
        try:
            yield listener
            assert not following.done(), following
        finally:
            following.cancel()
            await asyncio.wait([following])


def owner(process):
    """Return a condition that ``process`` owns a live session."""
    return lambda status: f":{process.pid}:" in status.owner and status.session == "LIVE"


async def flows(desk, listener):
    """Wait until the listener gets further rows."""
    before = len(listener.volumes)
    await desk.until(lambda: len(listener.volumes) > before + 3, "rows reach the client")


@pytest.mark.slow
async def test_a_killed_owner_is_replaced_within_twenty_seconds_and_the_client_is_told_of_the_gap(
    start, desk, web
):
    async with listening(web, "kill") as listener:
        first = start()
        await desk.told(owner(first), within=30)
        await flows(desk, listener)
        second = start()
        await desk.told(lambda status: status.standbys == 1, "a standby", within=30)
        killed, seen = time.time(), len(listener.volumes)
        first.kill()
        await desk.until(lambda: len(listener.volumes) > seen + 30, "rows resume", within=25)
        assert time.time() - killed < 20.0
        await desk.told(owner(second))
        (gap,) = await desk.until(lambda: read_gaps(desk.client, SLOT), "the gap is recorded")
        assert (gap.reason, gap.topics, gap.count) == ("owner", (TOPIC,), 1)
        assert killed - 1.5 <= gap.since <= killed + 0.1
        assert killed < gap.until <= killed + 20.0
        (told,) = await desk.until(listener.gaps, "the client is told")
        assert (told["message"], told["topics"], told["count"], told["reason"]) == (
            *("gap", [TOPIC], 1, "owner"),
        )
        assert told["from"] < told["to"]
        assert listener.volumes == sorted(listener.volumes)


@pytest.mark.parametrize("emptied", [False, True], ids=["redis kept its data", "redis lost its data"])
async def test_no_row_of_an_owner_that_slept_comes_after_the_first_of_the_next(
    start, desk, web, simulator, emptied
):
    short = {"GATEWAY_LEASE_TTL": "2", "GATEWAY_LEASE_RENEW": "0.5"}
    async with listening(web, f"sleep-{emptied}") as listener:
        first = start(**short)
        await desk.told(owner(first), within=30)
        await flows(desk, listener)
        second = start(**short)
        before = await desk.told(lambda status: status.standbys == 1, "a standby", within=30)
        with desk.client.pubsub() as bus:
            bus.subscribe(keys.ROWS_CHANNEL.format(topic=TOPIC))
            assert bus.get_message(timeout=5.0)  # the confirmation
            first.send_signal(signal.SIGSTOP)
            try:
                if emptied:
                    desk.client.delete(
                        *[name for name in desk.client.keys("gateway:*") if b"token" not in name]
                    )
                after = await desk.told(owner(second))
                await flows(desk, listener)
            finally:
                first.send_signal(signal.SIGCONT)
            await desk.told(lambda status: status.standbys == 1, "the sleeper stands by")
            async with listening(web, f"late-{emptied}") as late:
                await flows(desk, late)
                await flows(desk, listener)
                assert late.volumes == sorted(late.volumes)
            fences = []
            while message := bus.get_message(ignore_subscribe_messages=True, timeout=0.1):
                fences.append(int(message["data"].partition(b"|")[0]))
        assert after.fence > before.fence
        assert set(fences) <= {before.fence, after.fence}
        assert after.fence in fences
        assert fences == sorted(fences)
        # The simulator's running volume only grows: a row of the sleeper would be a step back.
        assert listener.volumes == sorted(listener.volumes)
