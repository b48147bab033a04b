"""What monitoring keeps in Redis between tasks: locks, the sweeps' memory, back-offs, cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import redis
from django.conf import settings
from redis.exceptions import LockError

from portal.monitoring.pace import BASE_S, next_interval

PREFIX = "monitoring:"
#: JSON of the newest sweep (:class:`Cost`).
COLLECTOR = PREFIX + "collector"
#: The same by runtime.
COLLECTOR_OF = PREFIX + "collector:{runtime}"
MEMORY = PREFIX + "memory:{runtime}"
BACKOFF = PREFIX + "backoff:{runtime}"
SLOW = PREFIX + "slow:{runtime}"
GUARD = PREFIX + "guard:{runtime}"
LOCK = PREFIX + "lock:{name}"
MISSING = PREFIX + "gateway-missing:{slot}"
#: Counters of one minute.
COUNTER = PREFIX + "count:{who}"

#: Seconds that a sweep's memory and cost outlive it.
MEMORY_TTL = 3600
#: Longest wait between two looks at a runtime that does not answer (s).
BACKOFF_CAP_S = 30
#: Seconds for which an answer to "is it guarded" is believed.
GUARD_TTL = 600


@cache
def client() -> redis.Redis:
    """Return this process's Redis client (5 s per command)."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5)


@contextmanager
def lock(name: str, timeout: float) -> Iterator[bool]:
    """Hold the lock ``name`` for at most ``timeout`` seconds; yield whether it was free.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    held = client().lock(LOCK.format(name=name), timeout=timeout)
    if not held.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        with suppress(LockError):  # it ran out meanwhile: another task may hold it by now
            held.release()


def load_memory(runtime: str) -> dict[str, Any]:
    """Return what the last sweep of ``runtime`` left, empty without one."""
    raw = client().get(MEMORY.format(runtime=runtime))
    data = orjson.loads(raw) if raw else {}
    return data if isinstance(data, dict) else {}


def save_memory(runtime: str, memory: dict[str, Any]) -> None:
    """Keep ``memory`` for the next sweep."""
    client().set(MEMORY.format(runtime=runtime), orjson.dumps(memory), ex=MEMORY_TTL)


def backing_off(runtime: str) -> bool:
    """Whether ``runtime`` failed or was slow so recently that it should be left alone."""
    raws = client().mget(BACKOFF.format(runtime=runtime), SLOW.format(runtime=runtime))
    return any(raw is not None and orjson.loads(raw)["until"] > _now() for raw in raws)


def note_pace(runtime: str, p95_ms: float) -> float:
    """Take in how slow a sweep's calls were and return the seconds until the next sweep."""
    name = SLOW.format(runtime=runtime)
    raw = client().get(name)
    interval = next_interval(float(orjson.loads(raw)["interval"]) if raw else BASE_S, p95_ms)
    if interval <= BASE_S:
        client().delete(name)
    else:
        client().set(name, orjson.dumps({"interval": interval, "until": _now() + interval - 1}), ex=600)
    return interval


def guarded(runtime: str, look: Callable[[], bool | None]) -> bool | None:
    """Return whether only reading is allowed, asking with ``look`` at most every ``GUARD_TTL``."""
    name = GUARD.format(runtime=runtime)
    raw = client().get(name)
    if raw is not None:
        known: bool | None = orjson.loads(raw)
        return known
    found = look()
    client().set(name, orjson.dumps(found), ex=GUARD_TTL)
    return found


def note_failure(runtime: str) -> float:
    """Count a failure of ``runtime`` and return the seconds until the next look (5, 10, 20, 30, …)."""
    name = BACKOFF.format(runtime=runtime)
    raw = client().get(name)
    failures = (orjson.loads(raw)["failures"] if raw else 0) + 1
    delay = float(min(BACKOFF_CAP_S, 5 * 2 ** min(failures - 1, 10)))
    # The beat's period is taken off, so that the next due sweep is not missed by a hair.
    client().set(name, orjson.dumps({"failures": failures, "until": _now() + delay - 1}), ex=600)
    return delay


def note_success(runtime: str) -> bool:
    """Forget earlier failures; return whether there were any."""
    return bool(client().delete(BACKOFF.format(runtime=runtime)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One sweep's own cost: ``at`` in ISO-8601 UTC, ``ms`` of wall time, services without a reading.

    ``p95_ms`` is the time that 95 % of its ``calls`` took at most, ``interval_s`` the time until the next one
    is due. ``gaps`` counts windows of events of which a part may be lost. ``guarded`` is false when the
    runtime would do more for us than be read, ``None`` when that is not known.
    """

    at: str
    runtime: str
    ms: float
    services: int
    skipped: int
    error: str = ""
    calls: int = 0
    p95_ms: float = 0.0
    interval_s: float = BASE_S
    gaps: int = 0
    guarded: bool | None = None

    @property
    def slowed(self) -> bool:
        """Whether the runtime is looked at less often because it is slow."""
        return self.interval_s > BASE_S

    @property
    def moment(self) -> datetime:
        """``at`` as a time."""
        return datetime.fromisoformat(self.at)


def save_cost(cost: Cost) -> None:
    """Show ``cost`` to whoever displays the collector's state."""
    raw = orjson.dumps(asdict(cost))
    pipeline = client().pipeline(transaction=False)
    pipeline.set(COLLECTOR, raw, ex=MEMORY_TTL)
    pipeline.set(COLLECTOR_OF.format(runtime=cost.runtime), raw, ex=MEMORY_TTL)
    pipeline.execute()


def costs() -> list[Cost]:
    """Return the newest cost of each runtime that was swept within the hour."""
    raws = client().mget([COLLECTOR_OF.format(runtime=name) for name in ("docker", "process")])
    known = {field.name for field in fields(Cost)}  # another version may have written it
    rows = [orjson.loads(raw) for raw in raws if raw]
    return [Cost(**{name: value for name, value in row.items() if name in known}) for row in rows]


def gateway_missing_since(slot: str) -> datetime:
    """Return since when the status of ``slot`` is missing; the first call starts the count."""
    name = MISSING.format(slot=slot)
    client().set(name, f"{_now():.3f}", nx=True, ex=24 * 3600)
    return datetime.fromtimestamp(float(client().get(name) or _now()), UTC)


def gateway_present(slots: list[str]) -> None:
    """Forget that the status of ``slots`` was missing."""
    if slots:
        client().delete(*(MISSING.format(slot=slot) for slot in slots))


def count_in_minute(who: str) -> int:
    """Count one more use by ``who`` and return how many there were since its minute began.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    name = COUNTER.format(who=who)
    pipeline = client().pipeline()
    pipeline.set(name, 0, ex=60, nx=True)
    pipeline.incr(name)
    return int(pipeline.execute()[1])


def heartbeat(key: str) -> float | None:
    """Return the unix time of a heartbeat key, ``None`` without one.

    Raises:
        OSError: Redis does not answer.
    """
    try:
        raw = client().get(key)
    except redis.RedisError as error:
        raise OSError(f"Redis does not answer: {error}") from error
    return float(raw) if raw else None


def _now() -> float:
    return datetime.now(UTC).timestamp()
