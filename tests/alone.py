"""``python -m tests.alone``: tries the tests that failed last once more, one after the other.

Thousands of tests with real servers, browsers and containers share a few cores, and when these are busy one
of them may wait for longer than it allows. What then holds alone is named at the end, so that somebody looks
at it. What fails again, or fails in numbers, fails the run (docs/decisions/0019).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: More failures than these are not explained by a busy machine, and none is tried again.
FEW = 3
#: Where pytest notes what failed in the last run.
NOTED = Path(".pytest_cache", "v", "cache", "lastfailed")
#: Exit codes: all hold alone; some do not, or nothing may be tried again.
HOLD, FAIL = 0, 1


def failed(folder: Path) -> list[str]:
    """Return the names of the tests that failed in the last run in ``folder``."""
    noted = folder / NOTED
    return sorted(json.loads(noted.read_text())) if noted.is_file() else []


def tried_again(folder: Path) -> int:
    """Run what failed last in ``folder`` and say what came of it; return the exit code."""
    names = failed(folder)
    if not 0 < len(names) <= FEW:
        print(f"{len(names)} tests failed: one to {FEW} would be tried again alone.", flush=True)
        return FAIL
    print(f"{len(names)} of all tests failed beside others and are tried again alone.", flush=True)
    options = ["--last-failed", "--last-failed-no-failures=none"]
    done = subprocess.run([sys.executable, "-m", "pytest", *options], cwd=folder, check=False)  # noqa: S603 - pytest
    if done.returncode:
        return FAIL
    print("Failed beside others, passed alone: " + ", ".join(names), flush=True)
    return HOLD


if __name__ == "__main__":
    sys.exit(tried_again(ROOT))
