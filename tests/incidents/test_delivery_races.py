"""Workers that deliver the same outbox at the same moment, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conditions import wait_until
from tests.databases import NAME, migrated
from tests.together import start

ROOT = Path(__file__).resolve().parent.parent.parent
OPENED = "[Warning] INC-1 api-gateway: 헬스체크 연속 실패"
FIRE = """
from django.utils import timezone
from datetime import timedelta
from tests.incidents.conftest import fire
fire(at=timezone.now() - timedelta(seconds=60))
"""
STATE = "from incidents.models import Delivery as D; print(*D.objects.values_list('state', 'attempts').get())"


def manage(environment, *arguments):
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def race(hook, folder, database):
    """Let three workers deliver at once while the receiver holds its answer; returns what each delivered."""
    environment = {**os.environ, "LANGUAGE_CODE": "en", **database, "DATA_DIR": str(folder)}
    if not database:
        migrated(folder / NAME)
    manage(environment, "shell", "--no-imports", "-c", FIRE)
    hook.go.clear()
    workers = start([["-m", "tests.incidents.deliverer", f"{hook.url}?rto=120"]] * 3, environment)
    wait_until(lambda: sum(worker.poll() is not None for worker in workers) >= 2, 60, "the losers are done")
    hook.go.set()
    delivered = sorted(worker.communicate(timeout=60)[0] for worker in workers)
    return delivered, manage(environment, "shell", "--no-imports", "-c", STATE)[-2:]


@pytest.mark.slow
def test_racing_workers_deliver_a_message_once_on_sqlite(hook, tmp_path):
    assert race(hook, tmp_path, {}) == (["0", "0", "1"], ["sent", "1"])
    assert (hook.calls, hook.titles) == (1, [OPENED])


@pytest.mark.slow
@pytest.mark.postgres
def test_racing_workers_deliver_a_message_once_on_postgresql(hook, tmp_path, migrated_postgres_url):
    assert race(hook, tmp_path, {"DATABASE_URL": migrated_postgres_url}) == (["0", "0", "1"], ["sent", "1"])
    assert (hook.calls, hook.titles) == (1, [OPENED])
