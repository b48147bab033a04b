"""Migrated databases: made once for all workers of a run, copied for each server of the tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.services import SHARED

ROOT = Path(__file__).resolve().parent.parent
NAME = "bonghwa.sqlite3"


def migrated(path: Path) -> None:
    """Put a database at ``path`` that is as ``manage.py migrate`` leaves it.

    Raises:
        subprocess.CalledProcessError: the migrations fail.
    """
    folder = SHARED / "migrated"
    with (SHARED / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _migrate(folder)
    shutil.copyfile(folder / NAME, path)


def migrated_postgres(url: str, programs: Path) -> None:
    """Fill the empty PostgreSQL database at ``url`` as ``manage.py migrate`` does; ``programs`` has psql.

    Raises:
        subprocess.CalledProcessError: the migrations fail.
    """
    dump = SHARED / "migrated.sql"
    with (SHARED / "migrated-postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if dump.exists():
            words = ["--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-f", str(dump), url]
            subprocess.run([str(programs / "psql"), *words], check=True, capture_output=True)  # noqa: S603 - Debian's own programs
            return
        with tempfile.TemporaryDirectory() as folder:
            migrate(Path(folder), {"DATABASE_URL": url})
        making = dump.with_suffix(".making")
        words = ["--no-owner", "--no-privileges", "--file", str(making), url]
        subprocess.run([str(programs / "pg_dump"), *words], check=True)  # noqa: S603 - Debian's own programs
        making.rename(dump)


def _migrate(folder: Path) -> None:
    """Migrate in a folder beside; it gets its name once it is whole."""
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    migrate(making, {})
    making.rename(folder)


def migrate(folder: Path, database: dict[str, str]) -> None:
    """Run ``manage.py migrate`` with ``folder`` as ``DATA_DIR`` and the variables of ``database``.

    Raises:
        subprocess.CalledProcessError: the migrations fail.
    """
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(folder)} | database,
        timeout=300,
        check=True,
    )
