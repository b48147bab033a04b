"""``python -m tests.faults [--short] [--only WORD] [--slack N]``: plays faults and prints the table."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults import table

ROOT = Path(__file__).resolve().parent.parent.parent
GROUPS = ("near", "far", "engine", "feed")
UNPLAYABLE = 2


def main() -> int:
    """Return 0 when every line passes, 1 when not, 2 when a group cannot be played here."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--short", action="store_true", help="the few faults of CI")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--groups", default=",".join(GROUPS), help="groups, separated by commas")
    parser.add_argument("--slack", type=float, default=1.0, help="stretches the times, on a busy machine")
    chosen = parser.parse_args()
    groups = ("near",) if chosen.short else tuple(chosen.groups.split(","))
    options = ["--only", chosen.only, "--slack", str(chosen.slack), *(["--short"] if chosen.short else [])]
    with tempfile.TemporaryDirectory(prefix="bw-") as folder:
        path = Path(folder) / "results"
        codes = [_group(name, [*options, "--results", str(path)]) for name in groups]
        results = table.read(path)
    good = table.show(results)
    broken = any(code not in (0, UNPLAYABLE) for code in codes)
    if broken or not good or not results:
        return 1
    return UNPLAYABLE if UNPLAYABLE in codes else 0


def _group(name: str, options: list[str]) -> int:
    command = [sys.executable, "-m", "tests.faults.group", name, *options]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - our own program


if __name__ == "__main__":
    sys.exit(main())
