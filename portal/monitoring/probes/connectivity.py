"""Is it the target or our own network? Asked only after a failure, and at most once in ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from portal.monitoring.probes.base import ProbeReading, Target
from portal.monitoring.probes.guard import Guard, Refused
from portal.monitoring.probes.urls import parse

#: Seconds that an answer is used again, and that one address may take.
KEEP_S = 10.0
TIMEOUT_S = 3.0
MAX_ADDRESSES = 8
UNKNOWN = "this prober's own network does not answer; last result: "


def parse_addresses(entries: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Read ``PROBE_CONNECTIVITY``: ``host:port`` entries, at most eight.

    Raises:
        ValueError: an entry is something else.
    """
    found = []
    for entry in (text.strip() for text in entries):
        if not entry:
            continue
        try:
            place = parse("tcp", f"tcp://{entry}")
        except ValueError as error:
            raise ValueError(f"{entry!r} is not host:port ({error})") from None
        found.append((place.host, place.port))
    if len(found) > MAX_ADDRESSES:
        raise ValueError(f"at most {MAX_ADDRESSES} addresses")
    return tuple(found)


class Connectivity:
    """Whether any of ``addresses`` takes a TCP connection. They are the administrator's own choice."""

    def __init__(
        self,
        addresses: Sequence[tuple[str, int]],
        guard: Guard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.addresses = tuple(addresses)
        self._guard = guard
        self._clock = clock
        self._lock = threading.Lock()
        self._answer = True
        self._until = float("-inf")

    def is_present(self) -> bool:
        """Return whether one address answered; true when none is configured, since nothing is known."""
        if not self.addresses:
            return True
        with self._lock:
            if self._clock() >= self._until:
                with ThreadPoolExecutor(len(self.addresses), thread_name_prefix="connectivity") as pool:
                    self._answer = any(pool.map(self._answers, self.addresses))
                self._until = self._clock() + KEEP_S
            return self._answer

    def judge(self, target: Target, reading: ProbeReading) -> ProbeReading:
        """Return ``reading``, or an unknown one when a failure is our own network's.

        A loopback or private target needs no outside network: its failure stays a failure.
        """
        if reading.ok is not False or not _is_outside(target) or self.is_present():
            return reading
        return replace(reading, ok=None, detail=(UNKNOWN + reading.detail)[:300])

    def _answers(self, address: tuple[str, int]) -> bool:
        try:
            self._guard.connect(*address, TIMEOUT_S).close()
        except (OSError, Refused):
            return False
        return True


def _is_outside(target: Target) -> bool:
    try:
        return parse(target.kind, target.url).is_outside
    except ValueError:
        return False
