"""A prober elsewhere: fetches its list from the portal, probes, reports. Uses no database.

One place decides about retrying: after a failure everything that talks to the portal waits for one growing,
jittered delay. Results wait meanwhile in a bounded queue, the oldest make room, and none is sent once it is
older than the portal takes.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from portal.monitoring.probes import schedule, trust
from portal.monitoring.probes.base import ProbeReading, Target, unknown
from portal.monitoring.probes.connectivity import Connectivity
from portal.monitoring.probes.guard import Guard
from portal.monitoring.probes.run import PROBES, ask, bounded_timeout, probe_due
from portal.monitoring.probes.urls import parse

logger = logging.getLogger(__name__)

#: Seconds between two looks at the list, and of one request.
REFRESH_S = 60.0
REQUEST_S = 10.0
#: Results that wait at most, and of one report; none is sent that is older than this.
QUEUE_MAX = 1000
BATCH = 100
MAX_AGE = timedelta(minutes=9)
#: First and longest delay after failures, and how many in a row end the process.
RETRY_BASE_S, RETRY_CAP_S, RETRY_LIMIT = 1.0, 60.0, 100
ENDPOINTS_MAX = 500


class Rejected(Exception):
    """The portal does not know the token; trying again is no use."""


class GaveUp(Exception):
    """The portal did not answer 100 times in a row."""


@dataclass(slots=True)
class Item:
    """An endpoint on this prober's list; ``due`` is in seconds of the monotonic clock."""

    number: int
    target: Target
    interval_s: float
    due: float = 0.0
    failures: int = 0


def checked_url(url: str) -> str:
    """Return the portal's address.

    Raises:
        ValueError: it is none, or it would carry the token in the clear.
    """
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError(f"{url!r} is not the portal's address; give https://portal.example.com")
    if parts.scheme == "http" and not local:
        raise ValueError("http:// would show the token to everybody on the way; use https://")
    return url.rstrip("/")


class Remote:
    """The prober's loop; :meth:`run` returns once ``stop`` is set."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        guard: Guard,
        connectivity: Connectivity,
        stop: threading.Event,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = httpx.Client(
            base_url=f"{checked_url(url)}/api/v1/probes/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=REQUEST_S,
            verify=trust.verifying(guard.ca_file),
        )
        self._guard = guard
        self._connectivity = connectivity
        self._stop = stop
        self._jitter = jitter
        self._items: dict[int, Item] = {}
        self._queue: deque[tuple[int, ProbeReading]] = deque(maxlen=QUEUE_MAX)
        self._refresh_at = float("-inf")
        self._retry_at = float("-inf")
        self._failed = 0

    def run(self) -> None:
        """Probe and report until told to stop; what is left is reported once more at the end.

        Raises:
            Rejected: the token is unknown or revoked.
            GaveUp: the portal did not answer 100 times in a row.
        """
        try:
            while not self._stop.is_set():
                self.round()
                self._stop.wait(1.0)
            self._retry_at = float("-inf")
            self._report()
            if self._queue:
                logger.warning("%d results were not reported", len(self._queue))
        finally:
            self._client.close()

    @property
    def waiting(self) -> int:
        """Results that the portal has not taken yet."""
        return len(self._queue)

    def round(self) -> None:
        """Bring the list up to date, probe what is due, report."""
        if time.monotonic() >= max(self._refresh_at, self._retry_at):
            self._refresh()
        for batch in probe_due(self._claim, self._ask):
            for item, reading in batch:
                self._note(item, reading)
            self._report()
        self._report()

    def _refresh(self) -> None:
        rows = self._call("GET", "assigned")
        if not isinstance(rows, list):
            return
        fresh = {}
        for row in rows[:ENDPOINTS_MAX]:
            item = _item(row)
            if item is None:
                continue
            old = self._items.get(item.number)
            fresh[item.number] = old if old and old.target == item.target else item
            fresh[item.number].interval_s = item.interval_s
        if set(fresh) != set(self._items):
            logger.warning("%d endpoints to probe", len(fresh))
        self._items = fresh
        self._refresh_at = time.monotonic() + REFRESH_S

    def _claim(self, count: int) -> list[Item]:
        if self._stop.is_set():
            return []
        now = time.monotonic()
        due = sorted((item for item in self._items.values() if item.due <= now), key=lambda item: item.due)
        for item in due[:count]:
            item.due = float("inf")
        return due[:count]

    def _ask(self, item: Item) -> ProbeReading:
        return self._connectivity.judge(item.target, ask(item.target, self._guard))

    def _note(self, item: Item, reading: ProbeReading | None) -> None:
        reading = reading or unknown("prober error")
        recovered = reading.ok is True and item.failures > 0
        if reading.ok is not None:
            item.failures = 0 if reading.ok else item.failures + 1
        item.due = time.monotonic() + schedule.delay_s(
            failures=item.failures,
            interval_s=item.interval_s,
            random=self._jitter(),
            recovered=recovered,
        )
        if len(self._queue) == QUEUE_MAX:
            logger.warning("the oldest of %d waiting results was dropped", QUEUE_MAX)
        self._queue.append((item.number, reading))

    def _report(self) -> None:
        """Send what waits, oldest first, until it is gone or the portal fails."""
        while self._queue and time.monotonic() >= self._retry_at:
            oldest = datetime.now(UTC) - MAX_AGE
            while self._queue and self._queue[0][1].at < oldest:
                self._queue.popleft()
            batch = [self._queue[number] for number in range(min(BATCH, len(self._queue)))]
            if not batch:
                return
            answer = self._call("POST", "push", {"results": [_result(*one) for one in batch]})
            if answer is None:
                return
            for _one in batch:
                self._queue.popleft()
            for refused in answer.get("refused", ()) if isinstance(answer, dict) else ():
                logger.warning("endpoint %s: %s", refused.get("endpoint"), refused.get("reason"))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the portal's answer, None after a failure that is worth another try later.

        Raises:
            Rejected, GaveUp: see :meth:`run`.
        """
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            return self._failure(str(error) or type(error).__name__)
        if response.status_code == 401:
            raise Rejected("the portal does not know this token, or it was revoked")
        if response.status_code not in (200, 413, 422):
            return self._failure(f"HTTP {response.status_code}")
        try:
            answer = response.json()
        except ValueError:
            return self._failure("the answer is not JSON: is this the portal's address?")
        if self._failed:
            logger.warning("the portal answers again after %d attempts", self._failed)
        self._failed, self._retry_at = 0, float("-inf")
        if response.status_code != 200 and "refused" not in answer:
            logger.error("the portal refused a report for good: %s", str(answer)[:500])
        return answer

    def _failure(self, reason: str) -> None:
        self._failed += 1
        if self._failed >= RETRY_LIMIT:
            raise GaveUp(f"the portal did not answer {RETRY_LIMIT} times in a row, last: {reason}")
        delay = min(RETRY_CAP_S, RETRY_BASE_S * 2 ** min(self._failed - 1, 10)) * (0.5 + self._jitter() / 2)
        self._retry_at = time.monotonic() + delay
        if self._failed == 1:
            logger.warning("the portal does not answer (%s); trying again", reason)


def _item(row: Any) -> Item | None:
    """Return an endpoint of the list, None for one that this prober does not understand."""
    try:
        target = Target(
            url=str(row["url"]),
            kind=str(row["kind"]),
            timeout_s=bounded_timeout(float(row["timeout_s"])),
            host=str(row["host"]),
            expected_status=int(row["expected_status"]),
            body_contains=str(row["body_contains"]),
            expect_frame=bool(row["expect_frame"]),
            send=str(row["send"]),
            min_days=int(row["min_days"]),
        )
        if target.kind not in PROBES:
            raise ValueError(f"unknown kind {target.kind!r}")
        parse(target.kind, target.url)
        return Item(number=int(row["endpoint"]), target=target, interval_s=float(row["interval_s"]))
    except (KeyError, TypeError, ValueError) as error:
        logger.warning("an endpoint of the list is left out: %s", error)
        return None


def _result(number: int, reading: ProbeReading) -> dict[str, Any]:
    data = asdict(reading)
    for name in ("at", "expires_at"):
        data[name] = data[name].isoformat() if data[name] else None
    return {"endpoint": number, **data}
