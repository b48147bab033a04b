"""Many end users of a deployment's feed, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx

from bench.machine import raise_file_limit
from tests.conditions import wait_until
from tests.deploy.deployment import Deployment
from tests.faults.reader import Reader, SharedToken

#: Quiet symbols of the simulator: what is proved is about connections, not about rows.
ITEMS = ("004170", "000150", "207940", "012330")
#: New clients a second: what one web process takes in by default.
PER_S = 50.0
CONNECTED_WITHIN_S = 180.0
#: A row of the quietest symbol comes each 7 s on the average.
ROW_WITHIN_S = 60.0
_COUNT = re.compile(r'^bonghwa_feed_connections\{process="([^":]+):[^"]*"\} ([0-9.e+]+)$', re.MULTILINE)


class Crowd:
    """Clients that come back as the feed's documentation says."""

    def __init__(self, one: Deployment) -> None:
        pair = json.loads(
            one.inside("web", "python", "manage.py", "feedkey", "create", "--name", "crowd", "--json")
        )
        self._ws = one.url.replace("http", "ws", 1) + "/ws"
        self._token = SharedToken(one.url, pair)
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self.readers: list[Reader] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Run until the block ends."""
        raise_file_limit()
        thread = threading.Thread(target=self._loop.run_forever, name="crowd", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.leave()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def come(self, count: int, items: Sequence[str] = ITEMS) -> Sequence[Reader]:
        """Let so many more clients in, each with one of the items, and wait until each has a row of it."""
        new = [Reader(self._ws, self._token, [items[number % len(items)]]) for number in range(count)]
        asyncio.run_coroutine_threadsafe(self._start(new), self._loop).result()
        self.readers += new
        wait_until(lambda: all(one.last_row >= one.back > 0 for one in new), CONNECTED_WITHIN_S, "all read")
        return new

    def leave(self) -> None:
        """Let everybody go."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(60)
        self.readers = []

    async def _start(self, new: Sequence[Reader]) -> None:
        for one in new:
            self._tasks.append(self._loop.create_task(one.run()))
            await asyncio.sleep(1 / PER_S)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def away(self, since: float = 0.0) -> int:
        """Return how many have no connection with their topic, or none whose row came after ``since``."""
        return sum(not (one.back > one.lost and one.last_row >= max(since, one.back)) for one in self.readers)

    def all_read(self, within: float) -> float | None:
        """Wait until a row from now on has reached everybody; return the seconds, None if it takes longer."""
        since = time.monotonic()
        try:
            wait_until(lambda: not self.away(since), within, "a row reaches everybody", 0.25)
        except AssertionError:
            return None
        return time.monotonic() - since


def spread(one: Deployment, browser: httpx.Client) -> Mapping[str, int]:
    """Return the feed connections of each web container, by its name without the project's."""
    names = {
        str(each.id)[:12]: str(each.name).removeprefix(f"{one.project}_") for each in one.all_containers()
    }
    return counted(browser.get("/metrics").text, names)


def counted(metrics: str, names: Mapping[str, str]) -> Mapping[str, int]:
    """Return the connections of each replica; ``names`` are containers' names by their hosts'."""
    found = {name: 0 for name in names.values() if name.startswith("web_")}
    for host, count in _COUNT.findall(metrics):
        if names.get(host, "") in found:
            found[names[host]] = int(float(count))
    return dict(sorted(found.items()))


def told(counts: Mapping[str, int]) -> str:
    """Return counts as words."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
