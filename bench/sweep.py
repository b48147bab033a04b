"""``make bench-sweep``: one sweep of the collector over a hundred real containers; exit 1 over the target.

Containers of its own, named ``bonghwa-sweep-…``, run in the Engine at ``DOCKER_HOST`` and are removed again.
What a sweep saw is then stored and judged by the default rules, as the collect worker does; with a temporary
SQLite database, so that the database's own work is counted too. The Engine's work is that of all processes of
Engines on this machine, so let no other one be busy.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import docker
import psutil
from django.core.management import call_command
from docker.errors import DockerException

from bench.machine import describe
from bench.processes import BenchError
from bench.systems.bonghwa import PLAIN

CONTAINERS = 100
SWEEPS = 5
#: Milliseconds that the median sweep may take.
TARGET_MS = 3_000.0
IMAGE = "bonghwa-sweep-busybox"
#: A line each five seconds, as a quiet service writes.
SCRIPT = "while true; do echo tick; sleep 5; done"
#: Containers started or removed at once.
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """One sweep: wall time and CPU of the collector's process in ms, calls, services read and skipped.

    ``kept_ms`` is the CPU to store and judge it, ``engine_ms`` what Engines used during the sweep.
    """

    ms: float
    cpu_ms: float
    kept_ms: float
    engine_ms: float
    calls: int
    read: int
    skipped: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns 0 when the median is within the target, 1 when not, 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--containers", type=int, default=CONTAINERS)
    parser.add_argument("--sweeps", type=int, default=SWEEPS)
    options = parser.parse_args(arguments)
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bonghwa-sweep-") as folder,
            containers(host, options.containers),
        ):
            _prepare(Path(folder))
            rows = measure(host, options.sweeps)
    except (BenchError, DockerException, OSError) as error:
        print(f"bench-sweep: {error}", file=sys.stderr)
        return 2
    return report(rows, options.containers)


@contextmanager
def containers(host: str, count: int) -> Iterator[None]:
    """Run ``count`` containers until it is left.

    Raises:
        BenchError: there is no static busybox to make an image of.
    """
    client = docker.DockerClient(base_url=host, timeout=120, max_pool_size=AT_ONCE)
    client.api.import_image_from_data(_image(), repository=IMAGE, tag="latest", changes=['CMD ["sh"]'])
    names = [f"bonghwa-sweep-{os.getpid()}-{number}" for number in range(count)]

    def start(name: str) -> None:
        client.containers.run(f"{IMAGE}:latest", ["sh", "-c", SCRIPT], name=name, detach=True)

    def remove(name: str) -> None:
        with suppress(DockerException):
            client.containers.get(name).remove(force=True)

    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(start, names))
        yield
    finally:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(remove, names))
        with suppress(DockerException):
            client.images.remove(f"{IMAGE}:latest", force=True)
        client.close()


def _image() -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BenchError("a static busybox is needed (Debian package busybox-static).")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(Path(busybox).resolve(), "bin/busybox")
        for name in ("sh", "sleep", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return buffer.getvalue()


def _prepare(folder: Path) -> None:
    """Let the product use a database of its own, with the rules that it brings."""
    os.environ.update(PLAIN)
    os.environ |= {
        "DATA_DIR": str(folder),
        "DATABASE_URL": f"sqlite:///{folder / 'bonghwa.sqlite3'}",
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nobody: none of this needs one
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def measure(host: str, sweeps: int) -> list[Measured]:
    """Sweep as the collect worker does, one connection each; two sweeps before are not counted."""
    sweep = import_module("portal.monitoring.collector").sweep
    record = import_module("portal.monitoring.services").record
    evaluate = import_module("portal.monitoring.engine").evaluate
    runtime_class = import_module("portal.monitoring.runtimes.docker").DockerRuntime
    memory: dict[str, Any] = {}
    rows = []
    for number in range(sweeps + 2):
        since, cpu, engine = datetime.now(UTC), time.process_time(), engines_s()
        runtime = runtime_class(host, memory=memory)
        try:
            done = sweep(runtime, memory, events_since=since)
        finally:
            runtime.close()
        if done.error:
            raise BenchError(done.error)
        swept, engine = time.process_time(), engines_s() - engine
        evaluate(record(done))
        if number >= 2:
            kept_ms = (time.process_time() - swept) * 1000
            cpu_ms = (swept - cpu) * 1000
            rows.append(
                Measured(
                    done.ms, cpu_ms, kept_ms, engine * 1000, done.calls, len(done.readings), done.skipped
                )
            )
        time.sleep(2.0)
    return rows


def engines_s() -> float:
    """Return the processor seconds that processes of Engines have used so far; 0 for a remote one."""
    used = 0.0
    for process in psutil.process_iter(["name", "cpu_times"]):
        if str(process.info["name"]).startswith(("dockerd", "containerd")):
            used += sum(process.info["cpu_times"][:2])
    return used


def report(rows: Sequence[Measured], wanted: int) -> int:
    """Print the sweeps and their median; return the exit code."""
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}")
    for row in rows:
        print(
            f"  {row.read} containers, {row.ms:.0f} ms, {row.calls} calls, {row.cpu_ms:.0f} ms CPU, "
            f"{row.kept_ms:.0f} ms to store and judge, {row.engine_ms:.0f} ms the Engine, "
            f"{row.skipped} skipped"
        )
    median = statistics.median(row.ms for row in rows)
    cpu = statistics.median(row.cpu_ms for row in rows)
    kept = statistics.median(row.kept_ms for row in rows)
    engine = statistics.median(row.engine_ms for row in rows)
    complete = all(row.read >= wanted and not row.skipped for row in rows)
    met = complete and median <= TARGET_MS
    print(
        f"median of {len(rows)}: {median:.0f} ms, {cpu:.0f} ms CPU (target {TARGET_MS:.0f} ms): "
        f"{'met' if met else 'missed'}; {kept:.0f} ms CPU to store and judge, {engine:.0f} ms the Engine"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
