"""Several workers that see one outage at once open one incident, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import NAME, migrated
from tests.together import start

ROOT = Path(__file__).resolve().parent.parent
WORKERS, ALERTS = 4, 5
COUNT = """
from incidents.models import Incident, IncidentSignal, Notification
print(Incident.objects.count(), IncidentSignal.objects.count(), Notification.objects.count())
"""


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    return done.stdout


def _race(tmp_path: Path, database: dict[str, str]) -> tuple[list[bool], list[int]]:
    broker = os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/9"
    environment = {**os.environ, **database, "DATA_DIR": str(tmp_path), "REDIS_URL": broker}
    if not database:
        migrated(tmp_path / NAME)
    racers = start([["-m", "tests.races", str(ALERTS)]] * WORKERS, environment)
    answers = [racer.communicate(timeout=90)[0] for racer in racers]
    opened = [one for answer in answers for one in json.loads(answer)]
    counted = _manage(environment, "shell", "--no-imports", "-c", COUNT).split()
    return opened, [int(number) for number in counted[-3:]]


@pytest.mark.slow
def test_racing_workers_open_one_incident_on_sqlite(tmp_path: Path) -> None:
    opened, counts = _race(tmp_path, {})

    assert opened.count(True) == 1
    assert counts == [1, ALERTS, 1], "incidents, signals, messages"


@pytest.mark.slow
@pytest.mark.postgres
def test_racing_workers_open_one_incident_on_postgresql(tmp_path: Path, migrated_postgres_url: str) -> None:
    opened, counts = _race(tmp_path, {"DATABASE_URL": migrated_postgres_url})

    assert opened.count(True) == 1
    assert counts == [1, ALERTS, 1], "incidents, signals, messages"
