"""Looks at what a running product holds: its processes, its Redis, its database's handles, its logs."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import redis

from gateway import keys
from gateway.status import read_feeds
from tests.e2e.product import Product
from tests.proof.background import meanwhile
from tests.proof.leaks import Footprint, Sample

#: Queues of the workers.
QUEUES = ("collect", "ops")
#: What counts as an error in a log: a record of that level, or a traceback.
ERROR = re.compile(r"\b(?:ERROR|CRITICAL)\b|Traceback \(most recent call last\)")
#: Lines shown at most.
SHOWN = 20


class Watch:
    """Looks at a product every ``every`` seconds on the average, in its own thread, until the block ends.

    The times between two looks vary by half: with the period of what is looked at, every look would meet the
    same task at work.
    """

    def __init__(self, product: Product, every: float) -> None:
        self.product = product
        self.every = every
        self.samples: list[Sample] = []
        self.failed: list[str] = []
        self._done = threading.Event()
        self._began = time.monotonic()
        self._redis = redis.Redis(port=int(product.env["EMBEDDED_REDIS_PORT"]), socket_timeout=5)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look until the block ends."""
        with closing(self._redis), meanwhile(self._run, self._done, "footprint"):
            yield

    @property
    def seconds(self) -> float:
        """Seconds since this watch was made."""
        return time.monotonic() - self._began

    def _run(self) -> None:
        while not self._done.wait(random.uniform(0.5, 1.5) * self.every):  # noqa: S311 - no secret
            try:
                self.samples.append(self.look())
            except (psutil.Error, redis.RedisError, OSError) as error:
                self.failed.append(f"{self.seconds:.0f} s: {error!r}")

    def look(self) -> Sample:
        """Look once.

        Raises:
            psutil.Error: a process ended meanwhile.
            redis.RedisError: Redis does not answer.
        """
        processes = dict(_processes(self.product))
        handles = _handles(processes, self.product.folder)
        measured = {name: _footprint(process) for name, process in processes.items()}
        return Sample(self.seconds, measured, {**self._redis_counts(), **handles})

    def _redis_counts(self) -> Mapping[str, float]:
        clients = self._redis.client_list()
        counts: dict[str, float] = {"Redis: connections": len(clients), "Redis: keys": self._redis.dbsize()}
        counts["Redis: subscriptions"] = sum(int(one["sub"]) + int(one["psub"]) for one in clients)
        for queue in QUEUES:
            counts[f"queue {queue}: tasks that wait"] = self._redis.llen(queue)
        feeds = read_feeds(self._redis)
        counts["web: asyncio tasks"] = sum(one.tasks for one in feeds)
        counts["web: clients"] = sum(one.connections for one in feeds)
        tasks = 0
        for name in self._redis.scan_iter(match=keys.STATUS.format(slot="*")):
            tasks += json.loads(self._redis.get(name) or b"{}").get("tasks", 0)
        counts["gateway: asyncio tasks"] = tasks
        return counts


def _processes(product: Product) -> Iterator[tuple[str, psutil.Process]]:
    """Yield every process by name; a worker's children are numbered in the order of their start."""
    pids = product.pids()
    if (supervisor := psutil.Process(pids["web"]).parent()) is not None:
        yield "supervisord", supervisor
    for name, pid in pids.items():
        process = psutil.Process(pid)
        yield name, process
        if name.startswith("worker-"):
            children = sorted(process.children(), key=lambda one: (one.create_time(), one.pid))
            yield from ((f"{name}/{number}", child) for number, child in enumerate(children, 1))


def _footprint(process: psutil.Process) -> Footprint:
    with process.oneshot():
        return Footprint(process.memory_info().rss, process.num_fds(), process.num_threads())


def _handles(processes: Mapping[str, psutil.Process], folder: Path) -> Mapping[str, float]:
    """Return how many descriptors of every process lead to the SQLite database, and to sockets.

    Those of Redis are left out: each is the other end of one that is counted.
    """
    found: Counter[str] = Counter({"database: open files": 0, "sockets": 0})
    for process in (one for name, one in processes.items() if name != "valkey"):
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):
                target = str(link.readlink())
                found["database: open files"] += target.startswith(str(folder)) and ".sqlite3" in target
                found["sockets"] += target.startswith("socket:")
    return {name: float(count) for name, count in found.items()}


def errors_in(folder: Path) -> list[str]:
    """Return the error lines of every log under ``folder``, rotated ones too, each with its file."""
    found = []
    for path in sorted(folder.rglob("*.log*")):
        if path.is_file():
            text = path.read_text(errors="replace")
            found += [f"{path.name}: {line[:300]}" for line in text.splitlines() if ERROR.search(line)]
    return found
