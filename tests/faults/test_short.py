"""``make faults`` in short: what was acknowledged outlives killed and paused processes and a lost Redis."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.product import ROOT


@pytest.mark.fleet
@pytest.mark.timeout(600)
def test_acknowledged_writes_survive_and_what_fell_ill_is_told_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--short", "--slack", "3"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=570,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Every line passes." in done.stdout
