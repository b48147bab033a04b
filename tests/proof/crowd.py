"""Mistakes of operation at once: two beats, two workers of each queue, killed workers, repeated tasks."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import psutil
from kombu.exceptions import OperationalError

from portal.celery import app
from tests.proof.world import World

EVERY_S = 2.0
KILL_EVERY_S = 6.0
CELERY = f"{sys.executable} -m celery -q -A portal"
#: What beat sends anyway, sent once more: queue, task, arguments.
REPEATED: tuple[tuple[str, str, list[Any]], ...] = (
    ("collect", "monitoring.collect", ["docker"]),
    ("collect", "monitoring.probe", []),
    ("ops", "incidents.deliver", []),
    ("ops", "incidents.resolve_green", []),
)


@dataclass(slots=True)
class Crowd:
    """What was done so far."""

    killed: int = 0
    repeated: int = 0
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def a_crowd(world: World) -> Iterator[Crowd]:
    """Add a second beat and second workers, kill workers at work and repeat tasks until the block ends."""
    world.product.add_program("beat-2", f"{CELERY} beat --loglevel WARNING --pidfile=")
    for queue in ("collect", "ops"):
        worker = f"{CELERY} worker -Q {queue} -n {queue}2@proof --loglevel WARNING"
        world.product.add_program(f"worker-{queue}-2", f"{worker} --pool prefork --concurrency 1")
    crowd = Crowd()
    thread = threading.Thread(target=_disturb, args=(world, crowd), daemon=True)
    thread.start()
    try:
        yield crowd
    finally:
        crowd.over.set()
        thread.join()


def _disturb(world: World, crowd: Crowd) -> None:
    random = Random(1)  # noqa: S311 - an order that can be repeated
    due = time.monotonic() + KILL_EVERY_S
    while not crowd.over.wait(EVERY_S):
        with suppress(OperationalError):
            for queue, task, arguments in REPEATED:
                app.send_task(task, args=arguments, queue=queue, retry=False, expires=30)
                crowd.repeated += 1
        if time.monotonic() >= due:
            due += KILL_EVERY_S
            with suppress(OSError, psutil.Error):
                crowd.killed += _kill_one(world, random)


def _kill_one(world: World, random: Random) -> int:
    """SIGKILL a process of a worker that does tasks; its parent starts another one."""
    workers = [pid for name, pid in world.product.pids().items() if name.startswith("worker-")]
    pool = [child for pid in workers for child in psutil.Process(pid).children()]
    if not pool:
        return 0
    random.choice(pool).kill()
    return 1
