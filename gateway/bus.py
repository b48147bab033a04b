"""What the gateway writes to Redis: rows, last values, status, attempts and gaps.

Nothing here waits on the session's behalf. When Redis goes away rows are dropped and counted, the newest
status, attempts and last values wait in bounded memory, and all is written when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Protocol

import orjson
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from gateway import keys, scripts
from gateway.gaps import Flow
from gateway.protocol import Row
from gateway.status import MAX_GAPS, Attempt, Gap, GatewayStatus

logger = logging.getLogger(__name__)

STATUS_TTL = 15
HEARTBEAT_TTL = 60
MAX_ATTEMPTS = 200
#: Rows waiting for Redis; the ones that come later are dropped and counted.
MAX_WAITING_ROWS = 20_000
#: Topics whose last value is kept; the longest unchanged is forgotten first.
MAX_LAST = 5_000
#: Seconds for which a slot's last delivery is remembered: longer than any holiday of the exchange.
FLOW_TTL = 30 * 24 * 3600
RECONNECT_FIRST, RECONNECT_CAP = 0.5, 5.0
TIMEOUT = 2.0


class Holder(Protocol):
    """The lease under which a slot's rows are published."""

    @property
    def slot(self) -> str:
        """The slot."""

    @property
    def fence(self) -> int:
        """The fencing number that rows are stamped with."""

    @property
    def text(self) -> str:
        """What Redis holds while the lease is valid."""

    @property
    def held(self) -> bool:
        """Whether this process may still believe in it."""


#: Rows by topic, all queued under one lease text.
Rows = dict[str, list[bytes]]


@dataclass(slots=True)
class _Waiting:
    """Everything still to be written."""

    rows: dict[tuple[Holder, str], Rows] = field(default_factory=dict)
    count: int = 0
    since: float = 0.0
    last: dict[str, tuple[Holder, bytes]] = field(default_factory=dict)
    statuses: dict[str, tuple[GatewayStatus, Flow | None]] = field(default_factory=dict)
    attempts: deque[tuple[Holder, Attempt, bool]] = field(default_factory=lambda: deque(maxlen=MAX_ATTEMPTS))
    gaps: deque[tuple[Holder, Gap]] = field(default_factory=lambda: deque(maxlen=MAX_GAPS))


class Bus:
    """See the module. ``last_interval`` is the least seconds between two writes of one topic's last value.

    ``on_refused`` gets the slot whose lease Redis does not know any more; ``on_down`` is called when Redis
    ceases to answer.
    """

    def __init__(
        self,
        client: Redis,
        *,
        last_interval: float = 0.1,
        on_refused: Callable[[str], None] = lambda slot: None,
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self.client = client
        self._on_down = on_down
        self._on_refused = on_refused
        self._last_interval = last_interval
        self._waiting = _Waiting()
        self._last_due: dict[str, float] = {}
        self._dirty = asyncio.Event()
        self.down_since: float | None = None
        self.written_at = time.monotonic()
        self.rows_dropped = 0
        #: Slots whose newest rows Redis refused, since it does not know their lease; see :meth:`confirmed`.
        self.refused: set[str] = set()
        self.lag_ms: float | None = None

    # -- what sessions hand over (never waits) ---------------------------------------------------------

    def publish(self, holder: Holder, rows: Iterable[Row]) -> None:
        """Queue rows for their topics' channels and for the hash of last values.

        Rows of a lease that this process can no longer believe in are dropped and counted.
        """
        waiting = self._waiting
        stamp = f"{holder.fence}|{time.time_ns() // 1_000_000}|".encode()
        lost = self.down_since is not None or not holder.held
        if not waiting.count:
            waiting.since = time.monotonic()
        queue = {} if lost else waiting.rows.setdefault((holder, holder.text), {})
        for row in rows:
            waiting.last[row.topic] = (holder, stamp + row.encoded)
            if lost or waiting.count >= MAX_WAITING_ROWS:
                self.rows_dropped += 1
                continue
            waiting.count += 1
            queue.setdefault(row.topic, []).append(row.encoded)
        self._bound_last()
        self._dirty.set()

    def announce(self, status: GatewayStatus, flow: Flow | None) -> None:
        """Queue a slot's newest status, and what its next owner has to know."""
        self._waiting.statuses[status.slot] = (status, flow)
        self._dirty.set()

    def note(self, holder: Holder, attempt: Attempt, *, replace: bool) -> None:
        """Queue an attempt; ``replace`` says that it is the newest one's final outcome."""
        self._waiting.attempts.append((holder, attempt, replace))
        self._dirty.set()

    def miss(self, holder: Holder, gap: Gap) -> None:
        """Queue a gap that ended."""
        self._waiting.gaps.append((holder, gap))
        self._dirty.set()

    def confirmed(self, slot: str) -> None:
        """Take note that Redis knows the slot's lease."""
        self.refused.discard(slot)

    def forget(self, holder: Holder) -> None:
        """Drop what waits of a lease that is over."""
        self.refused.discard(holder.slot)
        waiting = self._waiting
        for key in [key for key in waiting.rows if key[0] is holder]:
            lost = sum(map(len, waiting.rows.pop(key).values()))
            waiting.count -= lost
            self.rows_dropped += lost
        for topic in [topic for topic, (owner, _) in waiting.last.items() if owner is holder]:
            del waiting.last[topic]

    # -- loops ----------------------------------------------------------------------------------------

    async def write(self) -> None:
        """Write what is queued, for ever."""
        pause = RECONNECT_FIRST
        while True:
            await self._until_dirty()
            try:
                await self.flush()
                pause = RECONNECT_FIRST
            except (RedisError, OSError) as error:
                self._went_down(error)
                await asyncio.sleep(pause)
                pause = min(RECONNECT_CAP, pause * 2)

    async def flush(self) -> None:
        """Write what is queued now.

        Raises:
            redis.RedisError: Redis does not answer; rows are lost, everything else stays queued.
        """
        taken, self._waiting = self._waiting, _Waiting()
        now = time.monotonic()
        due = {
            topic: entry
            for topic, entry in taken.last.items()
            if self._last_due.get(topic, 0.0) <= now and entry[0].held
        }
        self._waiting.last = {topic: entry for topic, entry in taken.last.items() if topic not in due}
        try:
            async with asyncio.timeout(TIMEOUT), self.client.pipeline(transaction=False) as pipe:
                writers = self._publish(pipe, taken, due)
                for words in self._words(taken):
                    pipe.execute_command(*words)
                replies = await pipe.execute()
        except BaseException:
            self._put_back(taken)
            raise
        for topic in due:
            self._last_due.pop(topic, None)  # the order of this dict is the order of change
            self._last_due[topic] = now + self._last_interval
        if taken.count:
            self.lag_ms = (time.monotonic() - taken.since) * 1000
        self.written_at = time.monotonic()
        self._came_back()
        for (holder, rows), reply in zip(writers, replies, strict=False):
            if not reply:
                self.rows_dropped += rows
                self.refused.add(holder.slot)
                self._on_refused(holder.slot)

    async def last_topics(self) -> None:
        """Learn which last values an earlier owner left, so that their number stays bounded.

        Raises:
            redis.RedisError, TimeoutError: Redis does not answer.
        """
        async with asyncio.timeout(TIMEOUT):
            names = await self.client.hkeys(keys.LAST)
        for name in names:
            self._last_due.setdefault(str(name, "utf-8") if isinstance(name, bytes) else name, 0.0)

    # -- inside ---------------------------------------------------------------------------------------

    def _publish(
        self, pipe: Pipeline, taken: _Waiting, last: dict[str, tuple[Holder, bytes]]
    ) -> list[tuple[Holder, int]]:
        """Add rows and last values to ``pipe``, one script for each lease; returns holders and rows in order.

        The lease is checked here, since a process may have slept since it queued the rows, and once more by
        Redis, since it may sleep between the check and the write.
        """
        jobs: dict[tuple[Holder, str], tuple[list[bytes | str], list[bytes | str]]] = {}
        counts: Counter[tuple[Holder, str]] = Counter()
        for topic, (holder, raw) in last.items():
            jobs.setdefault((holder, holder.text), ([], []))[0].extend((topic, raw))
        for (holder, text), topics in taken.rows.items():
            if not holder.held or not topics:
                self.rows_dropped += sum(map(len, topics.values()))
                continue
            stamp = f"{text.rpartition('|')[2]}|".encode()
            words = jobs.setdefault((holder, text), ([], []))[1]
            for topic, rows in topics.items():
                counts[holder, text] += len(rows)
                words.extend((keys.ROWS_CHANNEL.format(topic=topic), stamp + b",".join(rows)))
        for (holder, text), (values, messages) in jobs.items():
            names = (keys.LEASE.format(slot=holder.slot), keys.LAST)
            pipe.execute_command(
                "EVAL", scripts.PUBLISH, len(names), *names, text, len(values), *values, *messages
            )
        return [(job[0], counts[job]) for job in jobs]

    def _words(self, taken: _Waiting) -> Iterator[tuple[str | bytes | int, ...]]:
        """Yield the Redis commands that write the rest of ``taken``."""
        while len(self._last_due) > MAX_LAST:
            oldest = next(iter(self._last_due))
            del self._last_due[oldest]
            yield "HDEL", keys.LAST, oldest
        for holder, attempt, replace in taken.attempts:
            names = (keys.ATTEMPTS.format(slot=holder.slot), keys.FENCE.format(slot=holder.slot))
            raw = orjson.dumps(asdict(attempt))
            yield "EVAL", scripts.NOTE, len(names), *names, holder.fence, int(replace), raw, MAX_ATTEMPTS, ""
        for holder, gap in taken.gaps:
            names = (keys.GAPS.format(slot=holder.slot), keys.FENCE.format(slot=holder.slot))
            words = (holder.fence, 0, gap.encode(), MAX_GAPS, keys.GAPS_CHANNEL)
            yield "EVAL", scripts.NOTE, len(names), *names, *words
        for status, flow in taken.statuses.values():
            spoken = [name.format(slot=status.slot) for name in (keys.STATUS, keys.FENCE, keys.FLOW)]
            left = flow.encode() if flow else b""
            said = (status.fence, status.encode(), STATUS_TTL, keys.STATUS_CHANNEL, left, FLOW_TTL)
            yield "EVAL", scripts.TELL, len(spoken), *spoken, *said
        if taken.statuses:
            yield "SET", keys.HEARTBEAT.format(name="gateway"), f"{time.time():.3f}", "EX", HEARTBEAT_TTL

    async def _until_dirty(self) -> None:
        try:
            async with asyncio.timeout(self._last_interval if self._waiting.last else None):
                await self._dirty.wait()
        except TimeoutError:
            pass
        self._dirty.clear()

    def _put_back(self, taken: _Waiting) -> None:
        newer = self._waiting
        self.rows_dropped += taken.count
        newer.last = taken.last | newer.last
        newer.statuses = taken.statuses | newer.statuses
        newer.attempts = deque([*taken.attempts, *newer.attempts], maxlen=MAX_ATTEMPTS)
        newer.gaps = deque([*taken.gaps, *newer.gaps], maxlen=MAX_GAPS)
        self._bound_last()

    def _bound_last(self) -> None:
        while len(self._waiting.last) > MAX_LAST:
            del self._waiting.last[next(iter(self._waiting.last))]

    def _went_down(self, error: Exception) -> None:
        if self.down_since is None:
            self.down_since = time.monotonic()
            logger.warning("Redis does not answer (%s); rows are dropped until it does", type(error).__name__)
            self._on_down()

    def _came_back(self) -> None:
        if self.down_since is not None:
            seconds, self.down_since = time.monotonic() - self.down_since, None
            logger.warning(
                "Redis answers again after %.0f s; %d rows dropped so far", seconds, self.rows_dropped
            )
