"""Rows a second from two readings of a counter, kept per process."""

from __future__ import annotations

from threading import Lock

from gateway.status import GatewayStatus

#: Seconds between the two readings of a rate at least and at most.
SHORTEST = 1.5
LONGEST = 60.0

_lock = Lock()
#: Slot to its older and newer reading ``(at, rows, fence)``; as many entries as there are slots.
_readings: dict[str, tuple[tuple[float, int, int], tuple[float, int, int]]] = {}


def row_rate(status: GatewayStatus) -> float | None:
    """Return rows a second since an earlier reading; None until there are two of the same owner."""
    now = (status.at, status.rows_in, status.fence)
    with _lock:
        older, newer = _readings.get(status.slot, (now, now))
        if now[2] != newer[2] or now[1] < newer[1] or now[0] - newer[0] > LONGEST:
            older = newer = now
        elif now[0] - newer[0] >= SHORTEST:
            older, newer = newer, now
        _readings[status.slot] = (older, newer)
    span = newer[0] - older[0]
    return (newer[1] - older[1]) / span if span > 0 else None
