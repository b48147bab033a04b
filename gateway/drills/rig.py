"""The session under drill, in a process of its own: the gateway's real code, nothing of its real slots.

Its slot is called ``drill``. It takes no lease and writes no key of the gateway; its changes of state go
to one channel of the drill's own. It speaks to loopback only and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
from redis.exceptions import RedisError

from gateway.actions import Record
from gateway.config import AppKey, Mode, RetryConfig, UpstreamConfig
from gateway.drills.plan import LONGEST_S, RUNAWAY_CPU_S
from gateway.logbook import LineCap
from gateway.protocol import Row
from gateway.redis_client import connect
from gateway.slot import feed_state
from gateway.upstream import Upstream

SLOT = "drill"
TOPIC = "0B:005930"
#: Seconds between two reports, and CPU seconds after which the kernel ends the process.
REPORT_EVERY = 0.5
CPU_LIMIT_S = int(4 * RUNAWAY_CPU_S)
TELL_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What the stage hands over: the installation's settings, a worthless key, and where to tell."""

    config: UpstreamConfig
    channel: str

    @classmethod
    def read(cls, text: bytes | str) -> Orders:
        """Read one line of JSON.

        Raises:
            ValueError: it asks for a server that is not on loopback, or is not such JSON.
        """
        data: dict[str, Any] = orjson.loads(text)
        values = data["config"]
        values["keys"] = tuple(AppKey(**key) for key in values["keys"])
        values["retry"] = RetryConfig(**values["retry"])
        values["mode"] = Mode(values["mode"])
        config = UpstreamConfig(**values)
        for url in (config.rest_url, config.ws_url):
            if urlsplit(url).hostname != "127.0.0.1":
                raise ValueError("a drill speaks to 127.0.0.1 only")
        return cls(config, str(data["channel"]))

    def write(self) -> bytes:
        """Return the line that :meth:`read` takes."""
        return orjson.dumps(asdict(self)) + b"\n"


class Levels(logging.Filter):
    """Counts the lines that are written by level; attach it behind the cap."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Count ``record``."""
        self.counts[record.levelname] += 1
        return True


class Rig:
    """Runs one session and reports each :data:`REPORT_EVERY` to the descriptor ``out``, as JSON lines."""

    def __init__(self, orders: Orders, redis_url: str, out: int, cap: LineCap) -> None:
        self._orders = orders
        self._out = out
        self._cap = cap
        self._levels = Levels()
        for handler in logging.getLogger().handlers:
            handler.addFilter(self._levels)
        self._redis = connect(redis_url)
        self._process = psutil.Process()
        self._tries: list[dict[str, Any]] = []
        self._rows = 0
        self._feed, self._feed_since = "", 0.0
        self._changed = asyncio.Event()
        self._upstream = Upstream(
            orders.config,
            orders.config.keys[0],
            on_rows=self._on_rows,
            on_record=self._on_record,
            on_change=self._on_change,
            permitted=self._permitted,
        )

    async def run(self) -> None:
        """Run until standard input ends or the longest drill is over."""
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S + 5))
        os.nice(5)
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(self._upstream.run(at_once=True)),
                    tasks.create_task(self._tell()),
                    tasks.create_task(self._report()),
                ]
                self._upstream.want([TOPIC], frozenset())
                await self._obey()
                for task in running:
                    task.cancel()
        await self._redis.aclose()

    async def _obey(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            if line.strip() == b"resume":
                self._upstream.command("resume", "the drill's fault is over")

    async def _permitted(self) -> bool:
        return True

    def _on_rows(self, rows: tuple[Row, ...]) -> None:
        self._rows += len(rows)

    def _on_record(self, record: Record, _at: float) -> None:
        self._tries.append(
            {
                "number": record.number,
                "started": record.started,
                "outcome": record.outcome,
                "reason": record.reason[:200],
            }
        )

    def _on_change(self) -> None:
        view = self._upstream.session.view(time.monotonic())
        feed = str(feed_state(view))
        if feed != self._feed:
            self._feed, self._feed_since = feed, time.monotonic()
            self._changed.set()

    async def _tell(self) -> None:
        """Publish what clients would be told; while Redis is away nothing is told, and the drill sees it."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            message = orjson.dumps({"slot": SLOT, "feed": self._feed, "since": self._feed_since})
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(TELL_TIMEOUT):
                    await self._redis.publish(self._orders.channel, message)

    async def _report(self) -> None:
        while True:
            view = self._upstream.session.view(time.monotonic())
            tries, self._tries = self._tries, []
            report = {
                "at": time.monotonic(),
                "state": str(view.state),
                "breaker": str(view.breaker),
                "tries": tries,
                "rows": self._rows,
                "cpu_s": time.process_time(),
                "memory": self._process.memory_info().rss,
                "levels": dict(self._levels.counts),
                "dropped": self._cap.dropped,
            }
            # A pipe whose reader is gone ends the process, which is what a rig without a stage should do.
            os.write(self._out, orjson.dumps(report) + b"\n")
            await asyncio.sleep(REPORT_EVERY)
