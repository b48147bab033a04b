"""``python -m bench.pages`` works from nothing, and its pages keep to their number of queries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_a_small_run_prints_every_page_and_the_size_of_the_database() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.pages", "--services", "3", "--days", "0.1", "--requests", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert "| whole database |" in done.stdout, done.stderr
    rows = {
        cells[0]: cells
        for line in done.stdout.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 6
    }
    for page in ("dashboard", "service", "chart 1h", "chart 30d", "incidents", "checklist", "public status"):
        assert int(rows[page][4]) <= 12, rows[page]
    for page in ("report", "report: edit", "report: new draft", "report: versions"):
        assert int(rows[page][4]) <= 12, rows[page]
    assert int(rows["incident"][4]) <= 25
