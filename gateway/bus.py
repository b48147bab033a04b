"""The gateway's side of Redis: rows, last values, status and attempts out; wishes and commands in.

Nothing here waits on the session's behalf. When Redis goes away rows are dropped and counted, the newest
status, attempts and last values wait in bounded memory, and all is written when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway import keys
from gateway.protocol import Row
from gateway.status import Attempt, GatewayStatus

logger = logging.getLogger(__name__)

STATUS_TTL = 15
HEARTBEAT_TTL = 60
MAX_ATTEMPTS = 200
#: Rows waiting for Redis; the ones that come later are dropped and counted.
MAX_WAITING_ROWS = 20_000
#: Topics whose last value is kept; the longest unchanged is forgotten first.
MAX_LAST = 5_000
#: Wishes read from one process, and processes read.
MAX_WISHES = 20_000
MAX_PROCESSES = 1_000
MAX_COMMANDS = 20
POLL = 0.5
RECONNECT_FIRST, RECONNECT_CAP = 0.5, 5.0
TIMEOUT = 2.0

# KEYS: status, fence. ARGV: the status' fence, the status, its TTL in seconds, the channel. An owner that
# slept through its lease must not speak for the slot any more.
_TELL = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asked of a slot."""

    verb: str
    reason: str


@dataclass(slots=True)
class _Waiting:
    """Everything still to be written."""

    rows: dict[tuple[int, str], list[bytes]] = field(default_factory=dict)
    count: int = 0
    since: float = 0.0
    last: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, GatewayStatus] = field(default_factory=dict)
    attempts: deque[tuple[str, Attempt, bool]] = field(default_factory=lambda: deque(maxlen=MAX_ATTEMPTS))


def connect(url: str) -> Redis:
    """Return a client that never retries by itself. Its callers bound each use with ``asyncio.timeout``.

    The library's own timeout would lose cancellations (Python 3.11's ``asyncio.wait_for`` does), so that a
    process told to stop would go on.
    """
    return Redis.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


class Bus:
    """See the module. ``last_interval`` is the least seconds between two writes of one topic's last value."""

    def __init__(self, client: Redis, *, last_interval: float = 0.1) -> None:
        self.client = client
        self._last_interval = last_interval
        self._waiting = _Waiting()
        self._last_due: dict[str, float] = {}
        self._dirty = asyncio.Event()
        self._poll_now = asyncio.Event()
        self.down_since: float | None = None
        self.rows_dropped = 0
        self.lag_ms: float | None = None

    # -- what sessions hand over (never waits) ---------------------------------------------------------

    def publish(self, fence: int, rows: Iterable[Row]) -> None:
        """Queue rows for their topics' channels and for the hash of last values."""
        waiting = self._waiting
        stamp = f"{fence}|{time.time_ns() // 1_000_000}|".encode()
        if not waiting.count:
            waiting.since = time.monotonic()
        for row in rows:
            waiting.last[row.topic] = stamp + row.encoded
            if self.down_since is not None or waiting.count >= MAX_WAITING_ROWS:
                self.rows_dropped += 1
                continue
            waiting.count += 1
            waiting.rows.setdefault((fence, row.topic), []).append(row.encoded)
        self._bound_last()
        self._dirty.set()

    def announce(self, status: GatewayStatus) -> None:
        """Queue a slot's newest status."""
        self._waiting.statuses[status.slot] = status
        self._dirty.set()

    def note(self, slot: str, attempt: Attempt, *, replace: bool) -> None:
        """Queue an attempt; ``replace`` says that it is the newest one's final outcome."""
        self._waiting.attempts.append((slot, attempt, replace))
        self._dirty.set()

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
        due = {topic: raw for topic, raw in taken.last.items() if self._last_due.get(topic, 0.0) <= now}
        self._waiting.last = {topic: raw for topic, raw in taken.last.items() if topic not in due}
        try:
            async with asyncio.timeout(TIMEOUT), self.client.pipeline(transaction=False) as pipe:
                for words in self._words(taken, due):
                    pipe.execute_command(*words)
                await pipe.execute()
        except BaseException:
            self._put_back(taken)
            raise
        for topic in due:
            self._last_due.pop(topic, None)  # the order of this dict is the order of change
            self._last_due[topic] = now + self._last_interval
        if taken.count:
            self.lag_ms = (time.monotonic() - taken.since) * 1000
        self._came_back()

    async def listen(self) -> None:
        """Poll for wishes as soon as a web process says that they changed, for ever."""
        while True:
            try:
                async with self.client.pubsub() as channel:
                    async with asyncio.timeout(TIMEOUT):
                        await channel.subscribe(keys.WANTED_CHANNEL)
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=30.0):
                            self._poll_now.set()
            except (RedisError, OSError):
                await asyncio.sleep(RECONNECT_FIRST)

    async def next_poll(self) -> None:
        """Wait until it is time to read wishes and commands."""
        try:
            async with asyncio.timeout(POLL):
                await self._poll_now.wait()
        except TimeoutError:
            pass
        self._poll_now.clear()

    async def wanted(self) -> list[str]:
        """Return the topics that any web process wants.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        names: list[bytes] = []
        async for name in self.client.scan_iter(match=keys.WANTED.format(process="*"), count=1000):
            names.append(name)
            if len(names) == MAX_PROCESSES:
                break
        raws = await self.client.mget(sorted(names)) if names else []
        topics: dict[str, None] = {}
        for raw in raws:
            topics |= dict.fromkeys(_topics(raw))
        return list(topics)[:MAX_WISHES]

    async def commands(self, slot: str) -> list[Command]:
        """Take the commands queued for a slot this process owns, oldest first.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        name = keys.COMMANDS.format(slot=slot)
        async with self.client.pipeline(transaction=True) as pipe:
            pipe.execute_command("LRANGE", name, -MAX_COMMANDS, -1)
            pipe.execute_command("DEL", name)
            raws = (await pipe.execute())[0]
        return [command for raw in raws if (command := _command(raw))]

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

    def _words(self, taken: _Waiting, last: dict[str, bytes]) -> Iterator[tuple[str | bytes | int, ...]]:
        """Yield the Redis commands that write ``taken`` and the last values that are due."""
        for (fence, topic), rows in taken.rows.items():
            yield "PUBLISH", keys.ROWS_CHANNEL.format(topic=topic), f"{fence}|".encode() + b",".join(rows)
        if last:
            yield "HSET", keys.LAST, *(word for pair in last.items() for word in pair)
        while len(self._last_due) > MAX_LAST:
            oldest = next(iter(self._last_due))
            del self._last_due[oldest]
            yield "HDEL", keys.LAST, oldest
        for slot, attempt, replace in taken.attempts:
            name = keys.ATTEMPTS.format(slot=slot)
            if replace:
                yield "LPOP", name
            yield "LPUSH", name, orjson.dumps(asdict(attempt))
            yield "LTRIM", name, 0, MAX_ATTEMPTS - 1
        for status in taken.statuses.values():
            names = (keys.STATUS.format(slot=status.slot), keys.FENCE.format(slot=status.slot))
            yield (
                *("EVAL", _TELL, len(names), *names),
                *(status.fence, status.encode(), STATUS_TTL, keys.STATUS_CHANNEL),
            )
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
        self._bound_last()

    def _bound_last(self) -> None:
        while len(self._waiting.last) > MAX_LAST:
            del self._waiting.last[next(iter(self._waiting.last))]

    def _went_down(self, error: Exception) -> None:
        if self.down_since is None:
            self.down_since = time.monotonic()
            logger.warning("Redis does not answer (%s); rows are dropped until it does", type(error).__name__)

    def _came_back(self) -> None:
        if self.down_since is not None:
            seconds, self.down_since = time.monotonic() - self.down_since, None
            logger.warning(
                "Redis answers again after %.0f s; %d rows dropped so far", seconds, self.rows_dropped
            )


def _topics(raw: bytes | str | None) -> list[str]:
    try:
        listed = orjson.loads(raw or b"[]")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(listed, list):
        return []
    return [topic for topic in listed if isinstance(topic, str) and len(topic) <= 110 and ":" in topic[1:]]


def _command(raw: bytes) -> Command | None:
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict):
        return None
    by = f" (by {data['by']})" if data.get("by") else ""
    return Command(str(data.get("verb", "")), f"{data.get('reason', '')}{by}"[:300])
