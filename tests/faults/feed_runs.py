"""2,000 clients lose their connections at once: every one must be back with its topic, in time."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.faults.reader import Reader
from tests.faults.table import Result
from tests.gateway.feed_world import Upstream
from tests.proof.world import Unplayable
from tests.upgrade.fleet import ITEMS, Fleet, a_fleet, connected, reads_again, until

CLIENTS = 2_000
NAME = f"{CLIENTS} clients reconnect at once"
#: 2,000 clients at 50 new connections a second and process, and one try more for those who were sent away.
PROMISE_S = 90.0
CONNECTED_WITHIN_S = 300.0
INVARIANT = "each has its topic again"


def play(only: str, slack: float, *, short: bool) -> Iterator[Result]:
    """Kill both web processes under 2,000 clients if the name holds ``only``; no short form."""
    if short or only not in NAME:
        return
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bw-") as name,
            a_fleet(Path(name)) as fleet,
            _rows(fleet),
        ):
            yield asyncio.run(_reconnect(fleet, slack))
    except FileNotFoundError as error:
        raise Unplayable(str(error)) from error


async def _reconnect(fleet: Fleet, slack: float) -> Result:
    readers = fleet.readers(CLIENTS)
    async with connected(readers, CONNECTED_WITHIN_S * slack):
        print(f"{NAME} …", flush=True)
        for web in fleet.webs:
            assert web.process is not None
            web.process.kill()
            web.process.wait()
        await asyncio.gather(*(asyncio.to_thread(web.start) for web in fleet.webs))
        began = time.monotonic()
        try:
            await until(lambda: _all_read(readers, began), "everybody reads again", PROMISE_S * slack)
        except AssertionError:
            away = sum(not reads_again(one, began) for one in readers)
            return Result(NAME, "-", None, PROMISE_S * slack, 0, [f"{away} clients are not back"], INVARIANT)
        took = max(one.back for one in readers) - began
        return Result(NAME, "-", took, PROMISE_S * slack, 0, [], INVARIANT)


def _all_read(readers: Sequence[Reader], since: float) -> bool:
    return all(reads_again(one, since) for one in readers)


@contextmanager
def _rows(fleet: Fleet) -> Iterator[None]:
    """Publish a row of each topic each second, as a gateway does."""
    upstream, over = Upstream(fleet.client), threading.Event()

    def publish() -> None:
        price = 70_000
        while not over.wait(1.0):
            price += 10
            upstream.status()
            for item in ITEMS:
                upstream.last(price, item)
                upstream.publish(price, item=item)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
