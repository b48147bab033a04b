"""The commands as an operator runs them: exit codes, standard output, one line on standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import NAME, migrated

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def manage(tmp_path):
    """Run ``manage.py`` on a private, migrated database; returns exit code, output and errors."""
    own = {"DATA_DIR": str(tmp_path / "data"), "LANGUAGE_CODE": "en", "LOG_LEVEL": "WARNING"}
    environment = {**os.environ, **own}

    def run(*arguments: str) -> tuple[int, bytes, str]:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=90)  # noqa: S603 - our own program
        return done.returncode, done.stdout, done.stderr.decode()

    (tmp_path / "data").mkdir()
    migrated(tmp_path / "data" / NAME)
    return run


@pytest.mark.slow
def test_the_seed_is_imported_exported_and_imported_again_from_the_shell(manage, seed_report, tmp_path):
    seed = seed_report.read_bytes()
    imported = f"{seed_report}: imported as INC-1 Infrastructure Down\n".encode()
    assert manage("import_report", str(seed_report)) == (0, imported, "")
    assert manage("export_report", "1", "--lang", "ko") == (0, seed, "")

    copy = tmp_path / "copy.md"
    copy.write_bytes(seed)
    unchanged = f"{copy}: unchanged: INC-1 Infrastructure Down\n".encode()
    assert manage("import_report", str(copy)) == (0, unchanged, "")
    code, out, _err = manage("export_report", "1", "--kind", "detail", "--format", "json")
    assert (code, len(json.loads(out)["report"]["checklist"])) == (0, 6)

    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\x00")
    for arguments in (("import_report", str(picture)), ("export_report", "9")):
        code, out, err = manage(*arguments)
        assert (code, out) == (1, b"")
        assert err.startswith("CommandError: ")
        assert err.count("\n") == 1
