"""Pages over a month of history: server time and queries of each, and the size of the database.

``python -m bench.pages`` makes a temporary SQLite database with 100 services and 30 days, asks for each page
through Django's test client (every middleware, no network) and prints a table.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bench.machine import describe
from bench.systems.base import Place, redis_server
from bench.systems.bonghwa import PLAIN

T = TypeVar("T")

#: Targets of a page: milliseconds on the server (median) and queries, session and permissions included.
MS_MAX, QUERIES_MAX = 100.0, 12
#: An incident's page shows everything about it and its whole report.
INCIDENT, INCIDENT_QUERIES_MAX = "incident", 25
WARM = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """One page: median and 95th percentile in milliseconds, CPU time, queries, bytes of the answer."""

    name: str
    median_ms: float
    p95_ms: float
    cpu_ms: float
    queries: int
    size: int

    @property
    def met(self) -> bool:
        """Whether it keeps to the targets of its page."""
        most = INCIDENT_QUERIES_MAX if self.name == INCIDENT else QUERIES_MAX
        return self.median_ms <= MS_MAX and self.queries <= most


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 1 when a page misses a target."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="bonghwa-pages-") as name:
        folder = Path(name)
        cores = sorted(os.sched_getaffinity(0))
        with redis_server(Place(cores[-1], cores[0], folder)) as port:
            _prepare(folder, port)
            return _run(options)


def _prepare(folder: Path, redis_port: int) -> None:
    os.environ.update(PLAIN)
    os.environ |= {
        "DATA_DIR": str(folder),
        "DATABASE_URL": "",
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }
    os.environ.pop("DATABASE_URL")
    import django

    django.setup()


def _run(options: argparse.Namespace) -> int:
    from django.core.management import call_command
    from django.utils import timezone

    from bench import synthetic
    from portal.monitoring import retention, rollups, tables

    call_command("migrate", interactive=False, verbosity=0)
    started = time.monotonic()
    synthetic.fill(options.services, options.days, _say)
    _say(f"written in {time.monotonic() - started:.0f} s")
    now = timezone.now()
    rolled, rolling = _timed(lambda: rollups.roll_up(now))
    _deleted, pruning = _timed(lambda: retention.prune(now))
    size, measuring = _timed(lambda: tables.measure(now))
    print(f"{describe()}, SQLite {sqlite3.sqlite_version}, {datetime.now(UTC):%Y-%m-%d}")
    print(f"{options.services} services, {options.days:g} days, {options.requests} requests each\n")
    print("| page | median ms | p95 ms | CPU ms | queries | KiB |\n|---|---:|---:|---:|---:|---:|")
    results = [measure(name, path, options.requests) for name, path in pages()]
    for one in results:
        print(
            f"| {one.name} | {one.median_ms:.0f} | {one.p95_ms:.0f} | {one.cpu_ms:.0f} | {one.queries} |"
            f" {one.size / 1024:.0f} |"
        )
    print("\n| table | rows | MiB |\n|---|---:|---:|")
    for table in size.tables[:8]:
        print(f"| {table.table} | {table.rows:,} | {(table.size_bytes or 0) / 2**20:,.0f} |")
    print(f"| whole database | | {(size.size_bytes or 0) / 2**20:,.0f} |")
    print(
        f"\nroll-up of {rolled} minutes {rolling:.2f} s, pruning {pruning:.2f} s, measuring {measuring:.1f} s"
    )
    missed = [one for one in results if not one.met]
    for one in missed:
        _say(f"{one.name} misses its target: {one.median_ms:.0f} ms, {one.queries} queries")
    return int(bool(missed))


def pages() -> list[tuple[str, str]]:
    """Return name and address of each page that is measured."""
    from portal.monitoring.models import Service

    first = Service.objects.order_by("pk")[0].pk
    ranges = ("1h", "6h", "24h", "7d", "30d")
    return [
        ("dashboard", "/"),
        ("services", "/services/"),
        ("service", f"/services/{first}/"),
        *((f"chart {span}", f"/services/{first}/chart/?range={span}") for span in ranges),
        ("incidents", "/incidents/"),
        (INCIDENT, "/incidents/1/"),
        ("report", "/incidents/1/report/"),
        ("report: edit", "/incidents/1/report/edit/"),
        ("report: new draft", "/incidents/1/report/draft/"),
        ("report: versions", "/incidents/1/report/versions/"),
        ("checklist", "/checklist/"),
        ("admin: alerts", "/admin/monitoring/alert/"),
        ("self-monitoring", "/watch/"),
        ("public status", "/status/"),
    ]


def measure(name: str, path: str, requests: int) -> Measured:
    """Ask for ``path`` as an administrator, again and again."""
    from django.contrib.auth.models import User
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    person, _new = User.objects.get_or_create(username="bench", is_superuser=True, is_staff=True)
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(person)
    times: list[float] = []
    spent: list[float] = []
    for number in range(WARM + requests):
        cache.clear()
        busy = time.process_time()
        answer, seconds = _timed(lambda: client.get(path))
        if answer.status_code != 200:
            raise SystemExit(f"{path} answered {answer.status_code}")
        if number >= WARM:
            times.append(seconds * 1000)
            spent.append((time.process_time() - busy) * 1000)
    cache.clear()
    with CaptureQueriesContext(connection) as captured:
        size = len(client.get(path).content)
    times.sort()
    p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
    return Measured(name, statistics.median(times), p95, statistics.median(spent), len(captured), size)


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return what ``call`` returns and the seconds it took."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--services", type=int, default=100, help="services (100)")
    parser.add_argument("--days", type=float, default=30.0, help="days of history (30)")
    parser.add_argument("--requests", type=int, default=30, help="requests for each page (30)")
    options = parser.parse_args(arguments)
    if not 1 <= options.services <= 500 or not 0.1 <= options.days <= 400 or options.requests < 1:
        parser.error("--services from 1 to 500, --days from 0.1 to 400, --requests from 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
