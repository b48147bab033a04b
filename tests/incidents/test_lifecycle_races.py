"""Races of the lifecycle with real threads, on SQLite and on PostgreSQL: the constraints hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import NAME, migrated

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = 8


def run(environment, *arguments):
    done = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def race(folder, database):
    """Let the threads race; returns the outcomes by race."""
    broker = os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/7"
    environment = {**os.environ, **database, "DATA_DIR": str(folder), "REDIS_URL": broker}
    if not database:
        migrated(folder / NAME)
    said = run(environment, "-m", "tests.incidents.lifecycle_racer", str(ROUNDS))
    return json.loads(said.splitlines()[-1])


def all_ran(outcomes):
    return len(outcomes) == 11 and {sum(one.values()) for one in outcomes.values()} == {ROUNDS}


@pytest.mark.slow
def test_racing_people_and_workers_leave_whole_incidents_on_sqlite(tmp_path):
    assert all_ran(race(tmp_path, {}))


@pytest.mark.slow
@pytest.mark.postgres
def test_racing_people_and_workers_leave_whole_incidents_on_postgresql(tmp_path, migrated_postgres_url):
    assert all_ran(race(tmp_path, {"DATABASE_URL": migrated_postgres_url}))
