"""Operators who press restart at the same moment, on real SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.databases import NAME, ROOT, migrated
from tests.together import start

WORLD = """
from django.contrib.auth.models import User
from tests.operations.conftest import known
known("f00d")
for name in ("olga", "paul", "rita"):
    User.objects.create_user(name)
"""
SEEN = """
from portal.operations.models import OperatorAction as A
from incidents.models import AuditEntry as E
print(*sorted(A.objects.values_list("state", flat=True)), *sorted(E.objects.values_list("action", flat=True)))
"""


def shell(environment, program):
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


#: The states of the actions, and what the audit calls them.
ONE_RESTART = [
    *("refused", "refused", "requested"),
    *("service.restart", "service.restart.refused", "service.restart.refused"),
]


def race(environment):
    """Let three press at once; returns what is stored then."""
    shell(environment, WORLD)
    people = ("olga", "paul", "rita")
    pressers = start([["-m", "tests.operations.presser", name] for name in people], environment)
    said = [one.communicate(timeout=120)[0].splitlines()[-1] for one in pressers]
    told = dict(zip(people, said, strict=True))
    (first,) = (name for name, answer in told.items() if answer == "done")
    for name in set(people) - {first}:
        assert first in told[name], told
    return shell(environment, SEEN)[-6:]


@pytest.mark.slow
def test_one_is_done_and_the_others_are_told_who_pressed_on_sqlite(tmp_path):
    migrated(tmp_path / NAME)
    assert race({**os.environ, "DATA_DIR": str(tmp_path), "LANGUAGE_CODE": "en"}) == ONE_RESTART


@pytest.mark.slow
@pytest.mark.postgres
def test_one_is_done_and_the_others_are_told_who_pressed_on_postgresql(tmp_path, migrated_postgres_url):
    environment = {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": migrated_postgres_url,
        "LANGUAGE_CODE": "en",
    }
    assert race(environment) == ONE_RESTART
