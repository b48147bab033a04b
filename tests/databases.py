"""A migrated SQLite database: made once for all workers of a run, copied for each server of the tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
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


def _migrate(folder: Path) -> None:
    """Migrate in a folder beside; it gets its name once it is whole."""
    making = folder.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment | {"DATA_DIR": str(making)},
        timeout=90,
        check=True,
    )
    making.rename(folder)
