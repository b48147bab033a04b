"""Workers that roll the same readings up at once, one of them killed; on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conditions import wait_until
from tests.databases import NAME, migrated

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.slow
SERVICES, MINUTES, PER_MINUTE = 4, 60, 4
FILL = f"""
from datetime import UTC, datetime, timedelta
from portal.monitoring.models import *
now = datetime.now(UTC).replace(second=0, microsecond=0)
start = now - timedelta(minutes={MINUTES})
for number in range({SERVICES}):
    one = Service.objects.create(runtime="docker", name=str(number), discovered_at=start)
    Observation.objects.bulk_create(
        Observation(service=one, at=start + timedelta(seconds=15 * n), cpu_percent=n, memory_bytes=1)
        for n in range({MINUTES * PER_MINUTE})
    )
"""
ROLL = """
from datetime import UTC, datetime
from portal.monitoring import rollups
rollups.MAX_ROWS = 100
print("ready", flush=True)
rollups.BUDGET_S = 60.0
for _run in range(6):
    rollups.roll_up(datetime.now(UTC))
"""
SHOW = """
import json
from datetime import UTC, datetime, timedelta
from django.db.models import Sum
from portal.monitoring import retention, tables
from portal.monitoring.models import *
minutes, hours = ServiceMinute.objects, ServiceHour.objects
sizes = {one.table: one.size_bytes for one in tables.measure(datetime.now(UTC)).tables}
deleted = retention.prune(datetime.now(UTC) + timedelta(hours=60))
print(json.dumps([
    minutes.count(), minutes.values_list("service", "at").distinct().count(),
    minutes.filter(samples=4).count(),
    hours.aggregate(total=Sum("samples"))["total"], hours.order_by("-cpu_percent_max")[0].cpu_percent_max,
    sizes["monitoring_serviceminute"] > 0, Observation.objects.count(), sum(deleted.values()),
]))
"""


def command(code: str) -> list[str]:
    return [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]


def shell(environment: dict[str, str], code: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        command(code), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def race(folder: Path, database: dict[str, str]) -> list[Any]:
    """Kill one worker in the middle of the backlog, let three finish it together; return what is stored."""
    own = {"DATABASE_URL": f"sqlite:///{folder / NAME}"}
    environment = {**os.environ, **own, **database, "DATA_DIR": str(folder)}
    if not database:
        migrated(folder / NAME)
    shell(environment, FILL)
    workers = [
        subprocess.Popen(command(ROLL), cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own program
        for _worker in range(4)
    ]
    killed = workers.pop()
    assert killed.stdout is not None
    wait_until(lambda: killed.stdout and killed.stdout.readline(), 90, "it began")
    killed.kill()
    killed.communicate()
    for worker in workers:
        worker.communicate(timeout=110)
        assert worker.returncode == 0
    found: list[Any] = json.loads(shell(environment, SHOW).splitlines()[-1])
    return found


WHOLE = SERVICES * MINUTES
EXPECTED = [
    *(WHOLE, WHOLE, WHOLE, WHOLE * PER_MINUTE, MINUTES * PER_MINUTE - 1, True, 0),
    WHOLE * PER_MINUTE,
]


def test_each_window_has_one_row_on_sqlite(tmp_path: Path) -> None:
    assert race(tmp_path, {}) == EXPECTED


@pytest.mark.postgres
def test_each_window_has_one_row_on_postgresql(tmp_path: Path, migrated_postgres_url: str) -> None:
    assert race(tmp_path, {"DATABASE_URL": migrated_postgres_url}) == EXPECTED
