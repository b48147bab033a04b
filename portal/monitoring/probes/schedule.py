"""When an endpoint is probed next. Pure: the random number is passed in."""

from __future__ import annotations

#: Seconds between two probes of a healthy endpoint unless its row says otherwise, and of a failing one.
INTERVAL_S = 60.0
FAILING_S = 20.0
#: A change is looked at again this soon: a fresh failure so many times, a fresh pass once. Three failures
#: open an alert and two passes close it.
CONFIRM_S = 3.0
CONFIRMATIONS = 2
#: Bounds of a row's own interval.
INTERVAL_RANGE = (10.0, 3600.0)
#: Part of the interval that jitter leaves: probes that started together drift apart, none comes late.
JITTER = (0.75, 0.95)
#: Without a result for so many intervals an endpoint is unknown.
STALE_INTERVALS = 3


def delay_s(*, failures: int, interval_s: float, random: float, recovered: bool = False) -> float:
    """Return the seconds until the next probe after ``failures`` in a row; ``random`` is in [0, 1).

    ``recovered`` marks the first pass after failures.
    """
    interval = bounded(interval_s)
    low, high = JITTER
    spread = low + (high - low) * random
    if recovered or 0 < failures <= CONFIRMATIONS:
        return CONFIRM_S
    if failures == 0:
        return interval * spread
    return min(interval, FAILING_S) * spread


def stale_after_s(interval_s: float, timeout_s: float) -> float:
    """Return the seconds after a result at which it says nothing about now."""
    return STALE_INTERVALS * bounded(interval_s) + timeout_s


def bounded(interval_s: float) -> float:
    """Return ``interval_s`` within its bounds."""
    low, high = INTERVAL_RANGE
    return min(high, max(low, interval_s))
