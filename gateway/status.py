"""What the gateway tells others about itself: the only gateway module that monitoring may read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
import redis
import redis.asyncio

from gateway import keys

if TYPE_CHECKING:
    from gateway.calendar import MarketCalendar

#: Topics named in a status; the number of all stands beside them.
NAMES = 50
#: Gaps kept for each slot.
MAX_GAPS = 200


class FeedState(StrEnum):
    """State of the feed as end users are told it."""

    LIVE = "live"
    RECONNECTING = "reconnecting"
    STALE = "stale"
    PARKED = "parked"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStatus:
    """One upstream session. Times are unix seconds, ``next_retry_s`` counts from ``at``.

    ``session`` is the session machine's state (IDLE, TOKEN, …), ``feed`` what clients are told,
    ``breaker`` one of closed, open, half_open. ``owner`` names the process that holds the lease.
    ``wanted`` counts the topics that are this connection's task, None when it is of an older version.
    ``capacity`` is how many items the connection can hold, ``free`` how many more. ``unplaced`` topics have
    no place on any key, ``silent`` ones were accepted and brought no row although others tick; the first
    ``NAMES`` of each are named. ``tasks`` counts the asyncio tasks of the owner's process.
    """

    slot: str
    at: float
    session: str
    feed: FeedState
    since: float
    attempts: int = 0
    attempts_total: int = 0
    next_retry_s: float | None = None
    breaker: str = "closed"
    breaker_manual: bool = False
    last_error: str = ""
    mode: str = "simulator"
    url: str = ""
    topics: int = 0
    wanted: int | None = None
    capacity: int = 0
    free: int = 0
    unplaced: int = 0
    unplaced_topics: tuple[str, ...] = ()
    silent: int = 0
    silent_topics: tuple[str, ...] = ()
    rows_in: int = 0
    last_row_at: float | None = None
    lag_ms: float | None = None
    owner: str = ""
    standbys: int = 0
    fence: int = 0
    log_lines: int = 0
    log_dropped: int = 0
    tasks: int = 0
    retry: dict[str, float] | None = None

    def encode(self) -> bytes:
        """Return JSON for Redis."""
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, raw: bytes | str) -> GatewayStatus:
        """Read :meth:`encode`'s output; unknown fields are ignored, so that versions can differ.

        Raises:
            ValueError: it is not such JSON.
        """
        data: dict[str, Any] = orjson.loads(raw)
        fields = known(cls, data)
        try:
            fields["feed"] = FeedState(fields["feed"])
            for name in ("unplaced_topics", "silent_topics"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a gateway status: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """One web process's side of the feed.

    ``rows_in`` and ``rows_out`` count rows from the bus and rows put into clients' frames since the start;
    ``subscriptions`` adds up every client's topics; ``conflating`` counts clients that lag now; ``tasks``
    counts the asyncio tasks of the process.
    """

    process: str
    at: float
    connections: int = 0
    topics: int = 0
    rows_in: int = 0
    rows_out: int = 0
    dropped: int = 0
    closes: dict[str, int] | None = None
    subscriptions: int = 0
    queued_frames: int = 0
    queued_bytes: int = 0
    conflating: int = 0
    tasks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One connection attempt. ``delay_before`` is the wait that preceded it, in seconds."""

    at: float
    number: int
    delay_before: float
    outcome: str
    reason: str = ""
    live_for: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """An interruption of one slot: rows of ``topics`` between two unix times may be missing.

    ``count`` is the number of topics, of which up to 1,000 are named. ``reason`` is one of disconnected,
    stale, owner (the gateway stopped, was killed or was replaced) and redis.
    """

    slot: str
    since: float
    until: float
    topics: tuple[str, ...]
    count: int
    reason: str

    def encode(self) -> bytes:
        """Return JSON for Redis."""
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, raw: bytes | str) -> Gap:
        """Read :meth:`encode`'s output.

        Raises:
            ValueError: it is not such JSON.
        """
        data: dict[str, Any] = orjson.loads(raw)
        try:
            return cls(**{**data, "topics": tuple(data["topics"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a gap: {error}") from error


def read_statuses(client: redis.Redis, slots: Iterable[str]) -> list[GatewayStatus]:
    """Return the status of each slot that has one; a missing one means no gateway runs for it.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    names = [keys.STATUS.format(slot=slot) for slot in slots]
    raws = client.mget(names) if names else []
    return [GatewayStatus.decode(raw) for raw in raws if raw]


def read_attempts(client: redis.Redis, slot: str, limit: int = 200) -> list[Attempt]:
    """Return the newest attempts of ``slot``, newest first.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    raws = client.lrange(keys.ATTEMPTS.format(slot=slot), 0, limit - 1)
    return [Attempt(**orjson.loads(raw)) for raw in raws]


def read_gaps(client: redis.Redis, slot: str, limit: int = MAX_GAPS) -> list[Gap]:
    """Return the newest gaps of ``slot``, newest first.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    raws = client.lrange(keys.GAPS.format(slot=slot), 0, limit - 1)
    return [Gap.decode(raw) for raw in raws]


def read_feeds(client: redis.Redis) -> list[FeedStatus]:
    """Return each web process's feed status (at most 1,000 processes).

    Raises:
        redis.RedisError: Redis does not answer.
    """
    names = []
    for name in client.scan_iter(match=keys.FEED.format(process="*"), count=500):
        names.append(name)
        if len(names) == 1000:
            break
    raws = client.mget(names) if names else []
    return [FeedStatus(**known(FeedStatus, orjson.loads(raw))) for raw in raws if raw]


async def read_feed_counts(client: redis.asyncio.Redis) -> dict[str, int]:
    """Return the connections of each web process (at most 1,000 of them), by its name.

    Raises:
        redis.RedisError: Redis does not answer.
        ValueError: a status cannot be read.
    """
    names: list[bytes] = []
    async for name in client.scan_iter(match=keys.FEED.format(process="*"), count=500):
        names.append(name)
        if len(names) == 1000:
            break
    found = [orjson.loads(raw) for raw in (await client.mget(names) if names else []) if raw]
    return {str(one["process"]): int(one["connections"]) for one in found}


def is_market_open(mode: str, at: datetime, venues: Iterable[str]) -> bool:
    """Return whether any of ``venues`` (KRX, NXT) trades at the aware time ``at``.

    ``mode`` is the calendar's, ``krx`` or ``always``. Days that people entered count within a minute.

    Raises:
        ValueError: an unknown mode or venue.
        django.db.DatabaseError: the database does not answer.
    """
    from gateway.calendar import Venue  # loads the holidays, which most readers of a status do not need

    return _calendar(mode, int(at.timestamp() // 60)).is_open(at, [Venue(name) for name in venues])


@lru_cache(maxsize=4)
def _calendar(mode: str, minute: int) -> MarketCalendar:
    from gateway.calendar import MarketCalendar
    from gateway.market_days import read_days
    from gateway.protocol import KST

    if mode == "always":
        return MarketCalendar(mode)
    return MarketCalendar(mode, read_days(datetime.fromtimestamp(minute * 60, KST).date()))


def known(cls: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return what of ``data`` is a field of the dataclass ``cls``: processes of two versions can meet."""
    return {name: data[name] for name in cls.__dataclass_fields__ if name in data}
