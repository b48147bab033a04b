"""The simulator and gateways as real processes or real tasks, and what they leave in Redis."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
import redis

from gateway import keys
from gateway.config import SIMULATOR_KEY, AppKey, Mode, RetryConfig, UpstreamConfig
from gateway.logbook import LineCap
from gateway.owner import Gateway, ReadDays
from gateway.status import Attempt, GatewayStatus, read_attempts, read_statuses
from tests.conditions import wait_until
from tests.services import free_port, stop

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
SLOT = "key-1"
TOPIC = "0B:005930"
#: The policy of the tests: the shape of the real one, some fifty times as fast.
RETRY = RetryConfig(
    base=0.02,
    cap=0.4,
    start_jitter=0.0,
    attempt_limit=12,
    stable_after=1.0,
    breaker_delay=0.2,
    parked_probe=0.5,
)


@contextmanager
def manage(folder: Path, *words: str, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a management command as its own process until the block ends; output goes to ``folder``."""
    with (folder / f"{words[0]}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=os.environ | {"DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1", **env},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        stop(process)


class Simulator:
    """``manage.py run_simulator`` on a port of its own; it can be stopped and started again."""

    def __init__(self, folder: Path, *words: str, **env: str) -> None:
        self.port = free_port()
        self._env = env
        self._folder = folder
        self._words = words
        self._running: Any = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and return once it answers."""
        words = ("run_simulator", "--port", str(self.port), *self._words)
        self._running = manage(self._folder, *words, **self._env)
        self.process = self._running.__enter__()
        wait_until(self._answers, 30, "the simulator answers")

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None

    def state(self) -> dict[str, Any]:
        """Return what it counts."""
        found: dict[str, Any] = httpx.get(f"http://{self.address}/simulator/state", timeout=5).json()
        return found

    def switch(self, fault: str) -> None:
        """Make ``fault`` the active one."""
        answer = httpx.post(f"http://{self.address}/simulator/fault", json={"fault": fault}, timeout=5)
        assert answer.status_code == 200, answer.text

    def _answers(self) -> bool:
        try:
            return bool(self.state())
        except httpx.TransportError:
            return False


def config_for(simulator: Simulator, **changes: Any) -> UpstreamConfig:
    """Return a fast configuration of one key against ``simulator``."""
    config = UpstreamConfig(
        mode=Mode.SIMULATOR,
        rest_url=f"http://{simulator.address}",
        ws_url=f"ws://{simulator.address}",
        keys=(AppKey(SLOT, *SIMULATOR_KEY),),
        calendar="always",
        retry=RETRY,
        open_timeout=5.0,
        login_timeout=5.0,
    )
    return replace(config, **changes)


@asynccontextmanager
async def gateway(
    config: UpstreamConfig,
    redis_url: str | None = None,
    within: float = 10.0,
    read_days: ReadDays | None = None,
) -> AsyncIterator[None]:
    """Run a gateway in this event loop until the block ends; it must stop ``within`` seconds."""
    stopping = asyncio.Event()
    process = Gateway(config, redis_url or os.environ["REDIS_URL"], LineCap(), read_days)
    task = asyncio.create_task(process.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        async with asyncio.timeout(within):
            await task


class Desk:
    """What can be seen and asked through Redis: status, attempts, rows, wishes, commands."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def status(self, slot: str = SLOT) -> GatewayStatus | None:
        """Return a slot's status."""
        return next(iter(read_statuses(self.client, [slot])), None)

    def state(self) -> str:
        """Return the session's state, empty while nobody tells it."""
        status = self.status()
        return status.session if status is not None else ""

    def attempts(self) -> list[Attempt]:
        """Return the attempts, oldest first."""
        return read_attempts(self.client, SLOT)[::-1]

    def want(self, *topics: str, process: str = "test") -> None:
        """Wish for topics as a web process does, for a minute."""
        self.client.set(keys.WANTED.format(process=process), orjson.dumps(topics), ex=60)
        self.client.publish(keys.WANTED_CHANNEL, b"")

    def command(self, verb: str, reason: str = "a test") -> None:
        """Ask the slot for something, as the portal does."""
        body = {"verb": verb, "reason": reason, "by": "somebody", "at": 0}
        self.client.rpush(keys.COMMANDS.format(slot=SLOT), orjson.dumps(body))
        self.client.publish(keys.WANTED_CHANNEL, b"")

    async def until(self, condition: Callable[[], T], what: str = "", within: float = 20.0) -> T:
        """Wait for a condition without blocking this event loop."""
        return await asyncio.to_thread(wait_until, condition, within, what, 0.02)

    async def told(
        self, condition: Callable[[GatewayStatus], object], what: str = "", within: float = 20.0
    ) -> GatewayStatus:
        """Wait for a status that fulfils ``condition`` and return it.

        Raises:
            AssertionError: none came; the last one is shown.
        """

        def fulfilled() -> list[GatewayStatus]:
            return [status for status in filter(None, [self.status()]) if condition(status)]

        try:
            return (await self.until(fulfilled, what, within))[0]
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {self.status()}") from None

    async def session(self, state: str, within: float = 20.0) -> GatewayStatus:
        """Wait until the session is in ``state`` and return its status."""
        return await self.told(lambda status: status.session == state, f"session in {state}", within)

    async def rows(self, count: int = 1, topic: str = TOPIC, within: float = 20.0) -> list[bytes]:
        """Wait for ``count`` messages of a topic that are published from now on and return them."""
        with self.client.pubsub() as channel:
            channel.subscribe(keys.ROWS_CHANNEL.format(topic=topic))
            found: list[bytes] = []

            def enough() -> bool:
                message = channel.get_message(ignore_subscribe_messages=True, timeout=0.1)
                if message:
                    found.append(message["data"])
                return len(found) >= count

            await self.until(enough, f"{count} messages of {topic}", within)
            return found
