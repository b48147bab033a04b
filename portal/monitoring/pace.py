"""How often a slow runtime is looked at. Pure.

A runtime under load answers late; asking it as often as before makes that worse for everybody on it.
"""

from __future__ import annotations

#: Seconds between two sweeps of a runtime that answers well: beat's period.
BASE_S = 5.0
#: Longest pause between two sweeps of a slow one (s): four periods, so that a fault still shows in a minute.
LONGEST_S = 20.0
#: Time that 95 % of a sweep's calls may take (ms).
SLOW_MS = 2_000.0


def next_interval(interval: float, p95_ms: float) -> float:
    """Return the seconds until the next sweep: doubled while it is slow, halved again when it is not."""
    if p95_ms > SLOW_MS:
        return min(LONGEST_S, max(BASE_S, interval) * 2)
    return max(BASE_S, interval / 2)
