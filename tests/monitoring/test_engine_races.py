"""Workers that hold the same samples at once count each one once and open one incident."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import NAME, migrated
from tests.together import start

ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = 3
KNOWN = """
from datetime import UTC, datetime
from portal.monitoring.models import Rule, RuleState, Service
at = datetime(2026, 11, 22, tzinfo=UTC)
Service.objects.create(runtime="docker", name="api-gateway", discovered_at=at)
cpu = Rule.objects.get(name="cpu-sustained")
RuleState.objects.create(rule=cpu, subject="docker:api-gateway", bad=1, since=at, sampled_at=at, version=1)
"""
COUNT = """
from incidents.models import Incident, IncidentSignal, Notification
from portal.monitoring.models import Alert, RuleState, ServiceEvent
cpu = RuleState.objects.get(rule__name="cpu-sustained")
print(Incident.objects.count(), IncidentSignal.objects.count(), Notification.objects.count())
print(Alert.objects.filter(closed_at=None).count(), cpu.bad, int(cpu.firing), ServiceEvent.objects.count())
"""


def manage(environment: dict[str, str], *arguments: str) -> list[int]:
    """Run a management command; returns the last seven numbers that it prints."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()[-7:] if word.isdigit()]


def race(folder: Path, database: dict[str, str]) -> tuple[list[str], list[int]]:
    """Let the workers race; returns the rules that they opened and what the database holds then."""
    broker = os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/8"
    environment = {**os.environ, **database, "DATA_DIR": str(folder), "REDIS_URL": broker}
    if not database:
        migrated(folder / NAME)
    manage(environment, "shell", "--no-imports", "-c", KNOWN)
    racers = start([["-m", "tests.monitoring.racer"]] * WORKERS, environment)
    said = [racer.communicate(timeout=90)[0] for racer in racers]
    opened = [name for text in said for name in json.loads(text.splitlines()[-1])]
    return sorted(opened), manage(environment, "shell", "--no-imports", "-c", COUNT)


OPENED = ["health-streak", "restart-loop", "service-silent"]
#: Incidents, signals, messages; open alerts, the CPU rule's count (five samples, not firing); events.
HELD = [1, 3, 1, 3, 5, 0, 20]


@pytest.mark.slow
def test_racing_workers_count_each_sample_once_on_sqlite(tmp_path: Path) -> None:
    assert race(tmp_path, {}) == (OPENED, HELD)


@pytest.mark.slow
@pytest.mark.postgres
def test_racing_workers_count_each_sample_once_on_postgresql(
    tmp_path: Path, migrated_postgres_url: str
) -> None:
    assert race(tmp_path, {"DATABASE_URL": migrated_postgres_url}) == (OPENED, HELD)
