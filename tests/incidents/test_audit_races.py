"""Processes that write the audit at once, on real SQLite and PostgreSQL: one chain without a hole."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.databases import NAME, ROOT, migrated
from tests.together import start

COUNT = 40


def manage(environment, *arguments):
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)  # noqa: S603 - our own program


def race(environment):
    writers = start([["-m", "tests.incidents.auditor", str(COUNT)]] * 3, environment)
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    verdict = manage(environment, "verify_audit", "--json")
    return json.loads(verdict.stdout.splitlines()[-1])


WHOLE = {"ok": True, "entries": 3 * COUNT, "last": 3 * COUNT, "finding": None}


@pytest.mark.slow
def test_writers_at_once_make_one_chain_on_sqlite(tmp_path):
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path / NAME}"}
    migrated(tmp_path / NAME)
    assert race(environment) == WHOLE


GUARDED = """
from datetime import timedelta
from django.db import DatabaseError, connection
from django.utils import timezone
from incidents import audit
for statement in ("UPDATE incidents_auditentry SET reason = 'x'", "DELETE FROM incidents_auditentry"):
    try:
        connection.cursor().execute(statement)
    except DatabaseError as error:
        print("refused" if "audit entries cannot be" in str(error) else error)
print(audit.prune(now=timezone.now() + timedelta(days=9999)))
"""


@pytest.mark.slow
@pytest.mark.postgres
def test_on_postgresql_writers_at_once_make_one_chain_that_sql_cannot_change(tmp_path, migrated_postgres_url):
    """And the migration that guards it goes back and forth."""
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": migrated_postgres_url}
    assert race(environment) == WHOLE
    guarded = manage(environment, "shell", "--no-imports", "-c", GUARDED)
    assert guarded.stdout.count("refused") == 2, guarded.stdout
    assert guarded.stdout.split()[-1] == str(3 * COUNT), guarded.stderr
    assert manage(environment, "verify_audit").returncode == 0
    back = manage(environment, "migrate", "incidents", "0004", "--verbosity", "0")
    assert back.returncode == 0, back.stderr
    assert manage(environment, "migrate", "--verbosity", "0").returncode == 0
