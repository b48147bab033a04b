"""Somebody who is signed in and asks for a page at a steady pace; every answer's time is kept."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.proof.background import meanwhile

PAGES = ("/", "/incidents/", "/api/v1/services", "/api/v1/incidents", "/services/")
PER_S = 5.0


@dataclass(frozen=True, slots=True)
class Times:
    """Answers of a stretch of time, in milliseconds."""

    count: int
    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.0f}, p99 {self.p99:.0f}, longest {self.longest:.0f} ms of {self.count}"


def times(seconds: Sequence[float]) -> Times:
    """Return the distribution of at least two measured times."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return Times(len(seconds), 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * max(seconds))


@dataclass
class Visitor:
    """Asks for ``PER_S`` pages a second; what a late answer delays counts from when it was due."""

    browser: httpx.Client
    #: When each page was due (monotonic), and seconds from then to its last byte.
    seen: list[tuple[float, float, str]] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def visiting(self) -> Iterator[None]:
        """Visit until the block ends."""
        with meanwhile(self._run, self._done, "visitor"):
            yield

    def between(self, since: float, until: float) -> Times:
        """Return the answers to what was due in that time."""
        return times([took for due, took, _ in self.seen if since <= due < until])

    def by_page(self, since: float, until: float) -> dict[str, Times]:
        """Return the same for each page."""
        chosen = [one for one in self.seen if since <= one[0] < until]
        return {page: times([took for _, took, name in chosen if name == page]) for page in PAGES}

    def _run(self) -> None:
        due = time.monotonic()
        for page in itertools.cycle(PAGES):
            due += 1 / PER_S
            if self._done.wait(max(0.0, due - time.monotonic())):
                return
            try:
                answer = self.browser.get(page)
                if answer.status_code != httpx.codes.OK or answer.history:
                    self.failed[f"{answer.status_code} of {page}"] += 1
            except httpx.HTTPError as error:
                self.failed[f"{type(error).__name__} of {page}"] += 1
            self.seen.append((due, time.monotonic() - due, page))
