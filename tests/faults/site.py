"""The product while a person writes, an end user reads and programs fall ill; each fault is played on it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.conditions import wait_until
from tests.e2e.product import Product
from tests.faults.person import Person
from tests.faults.reader import Reader, SharedToken
from tests.proof.world import STOP_S, set_django_up
from tests.receiver import Receiver, receiving

#: Programs whose heartbeat is part of readiness, by what readiness calls them.
BEATS = {"beat": "beat", "worker-collect": "worker_collect", "worker-ops": "worker_ops"}
#: Time for ten processes to start on a machine that does much else; not part of any figure.
START_S = 900.0
#: Pause between two looks.
LOOK_S = 0.25
#: Far above the default: each program that falls ill has to have a message of its own, none in a roll-up.
MESSAGES_PER_HOUR = 1_000
#: How old the newest row may be when everything works.
ROW_AGE_S = 3.0
PATIENT = """
[program:{name}]
command=/bin/sleep 100000
autorestart=true
startsecs=0
"""


@dataclass(slots=True)
class Site:
    """A running product and those who use it."""

    product: Product
    receiver: Receiver
    person: Person
    reader: Reader
    #: Programs that fell ill so far.
    ill: list[str] = field(default_factory=list)

    def prepare(self, name: str) -> None:
        """Write down a program whose health check never passes."""
        folder = self.product.folder / "processes"
        health = {"kind": "heartbeat", "key": "heartbeat:nobody", "max_age_s": 5}
        log = self.product.folder / "logs" / f"{name}.log"
        log.touch()
        body = {"name": name, "log": str(log), "health": health, "labels": {}}
        (folder / f"{name}.json").write_text(json.dumps(body))
        (folder / f"{name}.conf").write_text(PATIENT.format(name=name))

    def fall_ill(self, name: str) -> None:
        """Let the supervisor run a program that was written down; nothing is written to the disk."""
        self.product.supervise("reloadConfig")
        self.product.supervise("addProcessGroup", name)
        self.ill.append(name)

    def tree(self, name: str) -> list[psutil.Process]:
        """Return a program's process and all of its children."""
        parent = psutil.Process(self.product.pids()[name])
        return [parent, *parent.children(recursive=True)]

    def missing(self, since: float, written: int) -> list[str]:
        """Return what does not work yet, judged only by what happened after ``since`` (monotonic).

        ``written`` is how many writes had been acknowledged by then.
        """
        found = []
        with suppress(OSError):
            states = {one["name"]: one["statename"] for one in self.product.supervise("getAllProcessInfo")}
            found = [f"{name} {state}" for name, state in states.items() if state != "RUNNING"]
        checks = self._checks()
        age = time.monotonic() - since
        for part in ("database", "redis", *BEATS.values(), "feed"):
            check = checks.get(part, {})
            if not check.get("ok") or check.get("age_s", 0.0) > age:
                found.append(f"readiness: {part} {check.get('detail', 'unknown')}")
        if self.person.ledger.count() <= written:
            found.append("no write was acknowledged")
        now = time.monotonic()
        if self.reader.last_row <= since or now - self.reader.last_row > ROW_AGE_S:
            found.append("no row reached the end user")
        return found

    def _checks(self) -> Mapping[str, Any]:
        try:
            answer = httpx.get(f"{self.product.url}/health/ready", timeout=5)
            checks: dict[str, Any] = answer.json()["checks"]
        except (httpx.HTTPError, ValueError, KeyError):
            return {}
        return checks

    def recovered(self, since: float, within: float) -> tuple[float | None, list[str]]:
        """Wait until everything works; return the seconds from ``since``, else what is still missing."""
        written = self.person.ledger.count()
        while missing := self.missing(since, written):
            if time.monotonic() > since + within:
                return None, missing
            time.sleep(LOOK_S)
        return time.monotonic() - since, []

    def switch(self, fault: str) -> None:
        """Make the simulator misbehave."""
        url = self.product.env["KIWOOM_REST_URL"]
        httpx.post(f"{url}/simulator/fault", json={"fault": fault}, timeout=5).raise_for_status()


async def _begin(reader: Reader) -> asyncio.Task[None]:
    return asyncio.create_task(reader.run())


async def _end(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running])


@contextmanager
def reading(make: Callable[[], Reader]) -> Iterator[Reader]:
    """Run a reader in a thread of its own until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    reader = make()
    running: asyncio.Task[None] = asyncio.run_coroutine_threadsafe(_begin(reader), loop).result(10)
    try:
        yield reader
    finally:
        asyncio.run_coroutine_threadsafe(_end(running), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def a_site(folder: Path, **env: str) -> Iterator[Site]:
    """Start the product in ``folder``, sign a person in, let an end user read; stop all of it at the end."""
    with receiving() as receiver:
        told = {"NOTIFY_URLS": receiver.channel, "NOTIFY_PER_HOUR": str(MESSAGES_PER_HOUR)}
        product = Product(folder, DOCKER_HOST="", **told, **env)
        try:
            print(f"Starting the product in {folder} …", flush=True)
            product.start(START_S)
            set_django_up(product)
            password = re.search(r"admin / (\S+)", product.console)
            assert password, product.console
            pair = json.loads(product.manage("feedkey", "create", "--name", "faults", "--json"))

            def make() -> Reader:
                ws = product.url.replace("http", "ws", 1) + "/ws"
                return Reader(ws, SharedToken(product.url, pair), ["005930"])

            with Person(product.url, password[1]) as person, reading(make) as reader:
                wait_until(lambda: reader.last_row, 60, "rows reach the end user")
                yield Site(product, receiver, person, reader)
        finally:
            product.close(STOP_S)
