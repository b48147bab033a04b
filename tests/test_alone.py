"""What failed beside other tests is tried once more, alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import alone

#: A test that passes when it is tried again, and one that does not.
SECOND_TIME = """
def test_{name}(pytestconfig):
    seen = pytestconfig.rootpath / "{name}.seen"
    before = seen.exists()
    seen.touch()
    assert before
"""
NEVER = "def test_never():\n    assert False\n"


@pytest.fixture(autouse=True)
def no_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests in the folders of these tests know nothing of this project."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")


def failing_run(folder: Path, *sources: str) -> None:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_some.py").write_text("def test_good():\n    pass\n" + "".join(sources))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=folder, check=False)
    assert done.returncode == 1


def test_what_passes_alone_does_not_fail_the_run_and_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    failing_run(tmp_path, SECOND_TIME.format(name="busy"))

    assert alone.tried_again(tmp_path) == alone.HOLD
    assert "1 passed in" in (told := capfd.readouterr().out)
    assert told.endswith("Failed beside others, passed alone: test_some.py::test_busy\n")


def test_what_fails_again_fails_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failing_run(tmp_path, SECOND_TIME.format(name="busy"), NEVER)

    assert alone.tried_again(tmp_path) == alone.FAIL
    assert "1 failed, 1 passed in" in capfd.readouterr().out


def test_many_failures_are_not_tried_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    failing_run(tmp_path, *(SECOND_TIME.format(name=f"n{number}") for number in range(alone.FEW + 1)))
    capfd.readouterr()

    assert alone.tried_again(tmp_path) == alone.FAIL
    assert " in " not in capfd.readouterr().out


def test_a_run_that_failed_before_any_test_is_not_saved(tmp_path: Path) -> None:
    assert alone.tried_again(tmp_path) == alone.FAIL
