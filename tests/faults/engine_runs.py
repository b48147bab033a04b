"""The Engine restarts: ``make prove-outages`` plays it, with containers that fail before and meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from tests.e2e.product import ROOT
from tests.faults.table import Result
from tests.proof.world import Unplayable

NAME = "restart the Engine"
AWAY_S = 60.0
PROMISE_S = 60.0
UNPLAYABLE = 2
#: Its columns: gone, seconds, shown, same incident, seconds to the incident of what happened meanwhile.
TOOK = 4


def play(only: str, slack: float, *, short: bool) -> Iterator[Result]:
    """Play it if its name holds ``only``; this group has no short form.

    Raises:
        Unplayable: no Engine can be started here.
    """
    if short or only not in NAME:
        return
    words = ("outages", "--only", "engine", "--seconds", f"{AWAY_S:g}", "--slack", f"{slack:g}")
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.proof", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    print(done.stdout, flush=True)
    if done.returncode == UNPLAYABLE:
        raise Unplayable(NAME)
    yield outcome(done.stdout, done.returncode)


def outcome(output: str, code: int) -> Result:
    """Return the line of the Engine from what ``prove-outages`` printed."""
    lines = [line for line in output.splitlines() if line.startswith("engine  ")]
    cells = [cell for cell in lines[-1].split("  ") if cell.strip()] if lines else []
    took = float(cells[TOOK]) if len(cells) > TOOK and cells[TOOK].strip() != "-" else None
    problems = [] if code == 0 else [output.strip().splitlines()[-1] if output.strip() else "no output"]
    return Result(NAME, f"{AWAY_S:g}", took, PROMISE_S, 0, problems, "incident and message once")
