"""Backup, wipe, restore: everything is there again, from either database to either."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, models
from django.test import override_settings
from django.utils import timezone

from incidents import audit, vault
from incidents.audit_check import verify
from incidents.models import AuditEntry, Channel, Incident
from portal.backup import archive, dump, load, rows
from portal.backup.dump import VERSION
from portal.backup.tables import DEFAULTS, HISTORY, LEFT_OUT, carried
from tests.databases import migrated
from tests.portal.elsewhere import connected
from tests.portal.world import SECRETS, fill, seen

SEED_REPORT = Path(__file__).parent.parent / "data" / "seed-report.md"
DATABASES = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker):
    """Databases of the test's own."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def new_database(tmp_path, request):
    """Make a migrated database and return its ``DATABASE_URL``."""
    made: list[str] = []

    def make(vendor: str) -> str:
        if vendor == "postgresql":
            made.append(request.getfixturevalue("another_migrated_postgres_url")())
        else:
            path = tmp_path / f"{len(made)}.sqlite3"
            migrated(path)
            made.append(f"sqlite:///{path}")
        return made[-1]

    return make


@pytest.fixture
def machine(settings, tmp_path):
    """Set the folder in which this machine keeps the audit's anchor."""

    def enter(name):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        settings.DATA_DIR = folder
        return folder

    enter("first")
    return enter


@pytest.fixture(scope="module")
def original(tmp_path_factory, django_db_blocker):
    """Fill a SQLite database and back it up, once for all tests that only read the file."""
    folder = tmp_path_factory.mktemp("made")
    migrated(folder / "db.sqlite3")
    with (
        django_db_blocker.unblock(),
        override_settings(DATA_DIR=folder),
        connected(f"sqlite:///{folder / 'db.sqlite3'}"),
    ):
        fill(SEED_REPORT)
        call_command("backup", folder / "day.zip", "--history")
    return folder / "day.zip"


@pytest.fixture
def made(original, machine, tmp_path):
    """A copy of the backup, which a test may spoil."""
    copy = tmp_path / "day.zip"
    shutil.copyfile(original, copy)
    return copy


def refusal(file: Path, *options: str) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("restore", file, *options)
    return str(caught.value)


def rewritten(file: Path, change: Any) -> Path:
    """Copy the zip with each part passed through ``change(name, content)``; None leaves it out."""
    copy = file.with_name("copy.zip")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            if (content := change(name, source.read(name))) is not None:
                target.writestr(name, content)
    return copy


@pytest.mark.parametrize("target", DATABASES)
@pytest.mark.parametrize("source", DATABASES)
def test_what_was_wiped_is_there_again_and_the_system_goes_on(
    source, target, new_database, machine, tmp_path, capsys
):
    file = tmp_path / "day.zip"
    with connected(new_database(source)):
        fill(SEED_REPORT)
        before = seen(history=True)
        call_command("backup", file, "--history")
        assert verify().finding is None
    assert {name for name, rows in before.items() if rows} >= HISTORY & {"monitoring.observation"}

    machine("second")
    with connected(new_database(target)):
        call_command("restore", file, "--reason", "drill")

        after = seen(history=True)
        last = after["incidents.auditentry"].pop()
        assert last[4] == "backup.restored"
        before.pop("incidents.audithead")
        after.pop("incidents.audithead")
        for name in before:
            assert after[name] == before[name], name
        call_command("verify_audit")
        assert "all genuine" in capsys.readouterr().out
        assert vault.unseal(Channel.objects.get(name=SECRETS["name"]).address) == SECRETS["address"]
        assert User.objects.get(username="운영자").check_password(SECRETS["password"])
        with pytest.raises(DatabaseError), connection.cursor() as cursor:
            cursor.execute("UPDATE incidents_auditentry SET target = 'x'")
        new = Incident.objects.create(number=99, title="다음", slug="next", opened_at=timezone.now())
        assert new.pk > max(row[0] for row in after["incidents.incident"])
        audit.record(action="service.restart", actor=None, target="api")
        assert verify().finding is None


def test_measurements_are_carried_only_when_asked_for(new_database, machine, tmp_path):
    with connected(new_database("sqlite")):
        fill(SEED_REPORT)
        call_command("backup", tmp_path / "small", verbosity=0)
        before = seen(history=False)
    machine("second")
    with connected(new_database("sqlite")):
        call_command("restore", tmp_path / "small")
        after = seen(history=True)
    assert after["monitoring.observation"] == []
    assert after["incidents.evidence"] == before["incidents.evidence"] != []


def test_the_file_is_private_and_holds_no_secret_in_clear(original, settings):
    assert stat.S_IMODE(original.stat().st_mode) == 0o600
    with zipfile.ZipFile(original) as opened:
        content = b"".join(opened.read(name) for name in opened.namelist())
    for secret in (settings.SECRET_KEY, SECRETS["address"], "hunter2", SECRETS["password"]):
        assert secret.encode() not in content
    assert SECRETS["name"].encode() in content
    assert not list(original.parent.glob("*.part"))


def test_making_one_is_recorded_and_no_other_file_is_overwritten(new_database, machine, tmp_path):
    with connected(new_database("sqlite")):
        call_command("backup", tmp_path / "day")
        assert AuditEntry.objects.get().action == "backup.made"
        with pytest.raises(CommandError, match="not overwritten"):
            call_command("backup", tmp_path / "day")
        with pytest.raises(CommandError, match="cannot be written"):
            call_command("backup", tmp_path / "nowhere" / "day")
        assert AuditEntry.objects.count() == 1


def test_what_is_written_meanwhile_waits_for_nobody_and_is_not_in_it(
    new_database, machine, tmp_path, monkeypatch
):
    url = new_database("sqlite")
    rows_of = rows.rows_of

    def busy(model):
        if model is User:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0.1)) as other, other:
                other.execute("INSERT INTO monitoring_eventcursor (runtime, until, gaps) VALUES ('x', '', 0)")
        return rows_of(model)

    monkeypatch.setattr(dump, "rows_of", busy)
    with connected(url):
        call_command("backup", tmp_path / "day")
    with zipfile.ZipFile(tmp_path / "day") as opened:
        assert opened.read("tables/monitoring.eventcursor.jsonl") == b""


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (
            "tables/auth.user.jsonl",
            lambda content: content.replace(b'"is_superuser":false', b'"is_superuser":true '),
        ),
        ("tables/incidents.evidence.jsonl", lambda content: content[: len(content) // 2]),
        ("tables/incidents.incident.jsonl", lambda _content: None),
        ("manifest.json", lambda content: content.replace(b'"history": true', b'"history": false')),
        ("signature.json", lambda _content: b"{}"),
    ],
    ids=["changed", "cut", "missing", "manifest", "unsigned"],
)
def test_a_damaged_file_is_refused_by_the_name_of_the_part(part, change, made, new_database):
    copy = rewritten(made, lambda name, content: change(content) if name == part else content)
    with connected(new_database("sqlite")):
        told = refusal(copy)
        assert not User.objects.exists()
    assert (part in told) or (part == "signature.json" and "key that signed" in told)


def test_a_part_that_nobody_listed_is_refused(made, new_database):
    with zipfile.ZipFile(made, "a") as opened:
        opened.writestr("tables/evil.jsonl", "{}")
    assert "tables/evil.jsonl" in refusal(made, "--dry-run")


def test_a_file_that_was_cut_off_is_refused_and_so_is_another_file(made):
    made.write_bytes(made.read_bytes()[:-3000])
    assert "its end" in refusal(made, "--dry-run")
    assert "is no backup" in refusal(Path(__file__), "--dry-run")
    assert "cannot be read" in refusal(made.with_name("nothing"), "--dry-run")


def test_a_newer_format_is_refused_with_the_version_that_reads_it(made, monkeypatch):
    monkeypatch.setattr(archive, "FORMAT", 0)
    assert f"format 1, made by version {VERSION}" in refusal(made, "--dry-run")


def test_a_file_of_another_key_needs_that_key_or_a_word(made, new_database, settings, capsys):
    settings.SECRET_KEY, old = "n" * 60, settings.SECRET_KEY
    with connected(new_database("sqlite")):
        assert "AUDIT_KEY" in refusal(made)
        call_command("restore", made, "--no-signature")
        told = capsys.readouterr().err
        assert "unknown_key" in told
        assert SECRETS["name"] in told
    settings.AUDIT_KEY = ["a" * 60, old]
    with connected(new_database("sqlite")):
        call_command("restore", made)


def test_a_database_with_rows_or_without_tables_is_refused_with_what_to_do(made, new_database, tmp_path):
    with connected(new_database("sqlite")):
        User.objects.create(username="somebody")
        told = refusal(made)
        assert "auth.user" in told
        assert "manage.py migrate" in told
        assert User.objects.count() == 1
    with connected(f"sqlite:///{tmp_path / 'bare.sqlite3'}"):
        assert "run manage.py migrate first" in refusal(made)


def test_rows_that_fit_not_leave_nothing_behind(made, new_database, monkeypatch):
    def broken(model, lines):
        if model is Incident:
            raise ValueError("row 1 is odd")
        return insert(model, lines)

    insert = rows.insert
    monkeypatch.setattr(load, "insert", broken)
    with connected(new_database("sqlite")):
        before = seen(history=True)
        assert "tables/incidents.incident.jsonl" in refusal(made)
        assert seen(history=True) == before


def test_a_dry_run_changes_nothing(made, new_database, capsys):
    with connected(new_database("sqlite")):
        before = seen(history=True)
        call_command("restore", made, "--dry-run")
        assert seen(history=True) == before
    assert "every checksum is right" in capsys.readouterr().out


def test_tables_of_the_migrations_are_known(new_database):
    with connected(new_database("sqlite")):
        filled = {m._meta.label_lower for m in carried(history=True) if models.QuerySet(m).exists()}
    assert filled <= DEFAULTS
    named = {model._meta.label_lower for model in carried(history=True)}
    assert named >= DEFAULTS | HISTORY
    assert not LEFT_OUT & named


def test_the_version_is_that_of_the_project(settings):
    assert f'version = "{VERSION}"' in (settings.BASE_DIR / "pyproject.toml").read_text()


def test_the_manifest_tells_what_is_inside(made):
    with zipfile.ZipFile(made) as opened:
        manifest = json.loads(opened.read("manifest.json"))
    rows = {part["table"]: part["rows"] for part in manifest["parts"]}
    assert (manifest["format"], manifest["database"], rows["monitoring.observation"]) == (1, "sqlite", 700)
    assert manifest["audit"]["seq"] >= 5
