"""People who save the same version of a report at once, on SQLite and on PostgreSQL: one of them does."""

from __future__ import annotations

import os

import pytest

from tests.databases import NAME, migrated
from tests.incidents.test_delivery_races import manage
from tests.together import start

PREPARE = """
from django.contrib.auth.models import User
from incidents import services
from incidents.models import Incident
from incidents.reports.drafting import draft_report
from tests.incidents.conftest import after, fire
User.objects.create_user("erin")
draft_report(incident=fire().incident, now=after(20))
services.resolve(incident=Incident.objects.get(), at=after(90), force=True)
"""
STATE = """
from incidents.models import CauseRow, Incident, Report
report = Report.objects.get()
print(report.revision, report.versions.count(), int(report.locked), CauseRow.objects.count(),
      Incident.objects.get().state)
"""


def race(folder, database, *verbs):
    """Let one process a verb save at once; returns what each was told, and what the database says then."""
    environment = {**os.environ, "LANGUAGE_CODE": "en", **database, "DATA_DIR": str(folder)}
    if not database:
        migrated(folder / NAME)
    manage(environment, "shell", "--no-imports", "-c", PREPARE)
    workers = start([["-m", "tests.incidents.report_editor", verb] for verb in verbs], environment)
    told = [worker.communicate(timeout=60)[0] for worker in workers]
    return told, manage(environment, "shell", "--no-imports", "-c", STATE)[-5:]


REFUSED = (["ReportChanged"] * 3, ["ReportLocked"] * 3)


def stored(told):
    """What the database says when the reviewer, who is the last, or an editor won."""
    return ["2", "2", *(["1", "0", "reviewed"] if told[3] == "saved" else ["0", "1", "resolved"])]


@pytest.mark.slow
def test_one_of_three_editors_and_a_reviewer_wins_on_sqlite(tmp_path):
    told, state = race(tmp_path, {}, "edit", "edit", "edit", "sign")
    assert sorted(told) in [[*refused, "saved"] for refused in REFUSED]
    assert state == stored(told)


@pytest.mark.slow
@pytest.mark.postgres
def test_one_of_three_editors_and_a_reviewer_wins_on_postgresql(tmp_path, migrated_postgres_url):
    told, state = race(tmp_path, {"DATABASE_URL": migrated_postgres_url}, "edit", "edit", "edit", "sign")
    assert sorted(told) in [[*refused, "saved"] for refused in REFUSED]
    assert state == stored(told)
