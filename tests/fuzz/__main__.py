"""``make fuzz``: other cases each round, until the time is over. Returns 0 when nothing was found."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.effort import COUNTS, SCALE

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ("api", "feed", "import")
#: How many times the cases of the tests one round has.
ROUND = 10


def main() -> int:
    """Fuzz each part in turn for ``--minutes`` in all; a failure ends it and shows how to play it again."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, in all (10)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what is fuzzed (everything)"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the first round")
    options = parser.parse_args()
    end = time.monotonic() + options.minutes * 60
    total: Counter[str] = Counter()
    rounds = 0
    with tempfile.TemporaryDirectory(prefix="bw-fuzz-") as folder:
        while rounds == 0 or time.monotonic() < end:
            part, seed = options.parts[rounds % len(options.parts)], options.seed + rounds
            counts = Path(folder) / f"{rounds}.json"
            env = {**os.environ, SCALE: str(ROUND), COUNTS: str(counts)}
            command = [sys.executable, "-m", "pytest", "-q", "-x", f"--hypothesis-seed={seed}", "--timeout=0"]
            code = subprocess.run([*command, f"tests/fuzz/test_{part}.py"], cwd=ROOT, env=env).returncode  # noqa: S603 - our own tests
            total += Counter(json.loads(counts.read_text())) if counts.exists() else Counter()
            rounds += 1
            told = ", ".join(f"{count:,} × {name}" for name, count in sorted(total.items()))
            print(f"{rounds} rounds, seed {seed}: {told or 'no case'}", flush=True)
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
