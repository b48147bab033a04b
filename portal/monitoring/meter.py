"""Counts and times the calls of one sweep, from any thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")


class Meter:
    """Counts calls and their time; one that has not ended yet counts with the time it has taken so far."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[int, float] = {}
        self._took: list[float] = []
        self._count = 0

    def timed(self, call: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Call it and keep how long it took."""
        with self._lock:
            self._count += 1
            number = self._count
            self._running[number] = time.monotonic()
        try:
            return call(*arguments, **more)
        finally:
            with self._lock:
                self._took.append(time.monotonic() - self._running.pop(number))

    def read(self) -> tuple[int, float]:
        """Return the number of calls and the ms that 95 % of them stayed within."""
        with self._lock:
            now = time.monotonic()
            took = [*self._took, *(now - began for began in self._running.values())]
        return len(took), round(percentile(took, 0.95) * 1000, 1)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` (0–1) of ``values`` do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0.0
