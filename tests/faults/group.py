"""``python -m tests.faults.group NAME``: plays one group of faults in a process of its own.

Django can know one database in a process, and each group has a product of its own.
"""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module
from pathlib import Path

from tests.faults import table
from tests.proof.world import Unplayable


def main() -> int:
    """Write one line for each fault to ``--results``; 2 when the group cannot be played here."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--only", default="")
    parser.add_argument("--slack", type=float, default=1.0)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--results", type=Path, required=True)
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    runs = import_module(f"tests.faults.{chosen.name}_runs")
    try:
        for result in runs.play(chosen.only, chosen.slack, short=chosen.short):
            table.write(chosen.results, [result])
    except Unplayable as error:
        print(f"{chosen.name}: this cannot be played here: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
