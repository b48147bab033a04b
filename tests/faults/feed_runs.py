"""2,000 clients lose their connections at once: every one must be back with its topic, in time."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.faults.reader import Reader
from tests.faults.table import Result
from tests.gateway.feed_world import Upstream
from tests.proof.world import Unplayable
from tests.servers import running_nginx
from tests.upgrade.fleet import ITEMS, Fleet, a_fleet, connected, reads_again, until

CLIENTS = 2_000
#: 2,000 clients at 50 new connections a second and process, and one try more for those who were sent away.
PROMISE_S = 90.0
CONNECTED_WITHIN_S = 300.0
INVARIANT = "each has its topic again"
#: Ends something that clients hang on at once and starts it again; what it starts ends with the stack.
Fault = Callable[[Fleet, ExitStack], Awaitable[None]]


def play(only: str, slack: float, *, short: bool) -> Iterator[Result]:
    """Play the faults whose name holds ``only``; no short form."""
    faults = {} if short else {name: fault for name, fault in FAULTS.items() if only in name}
    if not faults:
        return
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bw-") as name,
            a_fleet(Path(name)) as fleet,
            _rows(fleet),
            ExitStack() as started,
        ):
            yield from asyncio.run(_play(fleet, started, faults, slack))
    except FileNotFoundError as error:
        raise Unplayable(str(error)) from error


async def _play(fleet: Fleet, started: ExitStack, faults: Mapping[str, Fault], slack: float) -> list[Result]:
    readers = fleet.readers(CLIENTS)
    async with connected(readers, CONNECTED_WITHIN_S * slack):
        return [await _reconnect(fleet, started, readers, name, slack) for name in faults]


async def _reconnect(
    fleet: Fleet, started: ExitStack, readers: Sequence[Reader], name: str, slack: float
) -> Result:
    print(f"{name} …", flush=True)
    await FAULTS[name](fleet, started)
    began = time.monotonic()
    promise = PROMISE_S * slack
    try:
        await until(lambda: _all_read(readers, began), "everybody reads again", promise)
    except AssertionError:
        away = sum(not reads_again(one, began) for one in readers)
        return Result(name, "-", None, promise, 0, [f"{away} clients are not back"], INVARIANT)
    took = max(one.back for one in readers) - began
    return Result(name, "-", took, promise, 0, [], INVARIANT)


async def _kill_webs(fleet: Fleet, _started: ExitStack) -> None:
    for web in fleet.webs:
        assert web.process is not None
        web.process.kill()
        web.process.wait()
    await asyncio.gather(*(asyncio.to_thread(web.start) for web in fleet.webs))


async def _kill_nginx(fleet: Fleet, started: ExitStack) -> None:
    master = psutil.Process(int((fleet.nginx / "nginx.pid").read_text()))
    for process in [master, *master.children()]:
        process.kill()
    await asyncio.to_thread(psutil.wait_procs, [master], 10)
    await asyncio.to_thread(started.enter_context, running_nginx(fleet.nginx, fleet.port))


FAULTS: Mapping[str, Fault] = {
    f"kill both web processes under {CLIENTS} clients": _kill_webs,
    f"kill nginx under {CLIENTS} clients": _kill_nginx,
}


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
