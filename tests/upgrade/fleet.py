"""Web processes behind nginx, gateways and the simulator: an installation that is upgraded part by part."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from gateway.status import GatewayStatus
from tests.databases import NAME
from tests.faults.reader import Reader, SharedToken
from tests.gateway.feed_world import Web, running
from tests.gateway.upstream_world import Desk, Simulator, manage
from tests.servers import serving
from tests.services import free_port, start_valkey, stop
from tests.upgrade.balancer import balancing

#: Enough for every client of a run on one web process, all from one address and with one key; nobody moves
#: but for what a test does.
ROOM = {
    "FEED_MAX_CONNECTIONS": "5000",
    "FEED_MAX_CONNECTIONS_PER_KEY": "5000",
    "FEED_MAX_CONNECTIONS_PER_ADDRESS": "5000",
    "TRUSTED_PROXIES": "127.0.0.1",
    "FEED_REBALANCE_RATE": "0",
    "SECRET_KEY": "a key that all web processes of this fleet share, and that is long enough",
}
#: Topics of the clients, in turn.
ITEMS = ("005930", "000660", "035420", "051910")


@dataclass
class Fleet:
    """What runs; ``port`` is nginx's."""

    port: int
    webs: Sequence[Web]
    client: redis.Redis
    pair: dict[str, str]
    #: Folder of nginx's configuration and of its pid.
    nginx: Path
    #: Start one more gateway; ends with the fleet.
    start_gateway: Callable[[], subprocess.Popen[bytes]]

    @property
    def url(self) -> str:
        """The only address that clients know."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def desk(self) -> Desk:
        """What the gateways tell."""
        return Desk(self.client)

    def readers(self, count: int) -> list[Reader]:
        """Return clients with one token, each with one topic."""
        token = SharedToken(self.url, self.pair)
        ws = f"ws://127.0.0.1:{self.port}/ws"
        return [Reader(ws, token, [ITEMS[number % len(ITEMS)]]) for number in range(count)]


def owner(process: subprocess.Popen[bytes]) -> Callable[[GatewayStatus], bool]:
    """Return a condition: ``process`` owns a live session."""
    return lambda status: f":{process.pid}:" in status.owner and status.session == "LIVE"


@contextmanager
def a_fleet(folder: Path, webs: int = 2, **env: str) -> Iterator[Fleet]:
    """Start a Redis, the simulator, ``webs`` web processes and nginx; gateways are the caller's to start."""
    with ExitStack() as stack:
        port = free_port()
        stack.callback(stop, start_valkey(folder, port))
        redis_url = f"redis://127.0.0.1:{port}/0"
        simulator = Simulator(folder)
        simulator.start()
        stack.callback(simulator.stop)
        database = {"DATABASE_URL": f"sqlite:///{folder / NAME}"}
        started = [
            stack.enter_context(running(Web(folder / f"web-{number}", redis_url, ROOM | database | env)))
            for number in range(webs)
        ]
        client = redis.Redis.from_url(redis_url)
        stack.callback(client.close)
        upstream = {
            "KIWOOM_MODE": "simulator",
            "KIWOOM_REST_URL": f"http://{simulator.address}",
            "KIWOOM_WS_URL": f"ws://{simulator.address}",
            "REDIS_URL": redis_url,
            "GATEWAY_START_JITTER": "0",
            **database,
        }
        outside = free_port()
        nginx = stack.enter_context(serving(balancing(outside, [web.port for web in started]), outside))
        pair = started[0].feed_key("fleet")
        yield Fleet(
            outside,
            started,
            client,
            pair,
            nginx,
            lambda: stack.enter_context(manage(folder, "run_gateway", **upstream)),
        )


@asynccontextmanager
async def connected(readers: Sequence[Reader], within: float) -> AsyncIterator[None]:
    """Run all readers until the block ends; it begins when each has its topic and a row."""
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        await until(lambda: all(one.last_row > one.back > 0 for one in readers), "everybody reads", within)
        yield
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], object], what: str, within: float) -> None:
    """Wait for a condition of this event loop.

    Raises:
        AssertionError: it did not come true.
    """
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.05)


def reads_again(reader: Reader, since: float) -> bool:
    """Whether a reader has its topic, and a row that came after ``since`` and after it was back."""
    return reader.back > reader.lost and reader.last_row > max(since, reader.back)


__all__ = ["Fleet", "a_fleet", "connected", "owner", "reads_again", "until"]
