"""How hard to try: few cases that are the same each time within the tests, many others in ``make fuzz``."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings

#: Set by ``make fuzz``: how many times the cases of the tests, and the file for their number.
SCALE, COUNTS = "FUZZ_SCALE", "FUZZ_COUNTS"
#: Cases so far, by what was fuzzed.
cases: Counter[str] = Counter()


def effort(examples: int) -> settings:
    """Return settings for ``examples`` cases that never change; ``make fuzz`` has many more, at random."""
    scale = os.environ.get(SCALE)
    return settings(
        max_examples=examples * int(scale or 1),
        derandomize=scale is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def write_counts() -> None:
    """Add the cases of this process to the file, if one is asked for."""
    if name := os.environ.get(COUNTS):
        path = Path(name)
        before = Counter(json.loads(path.read_text())) if path.exists() else Counter()
        path.write_text(json.dumps(before + cases))
