"""Which retry settings the gateway of each slot told, and when they changed; kept in Redis, bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.status import GatewayStatus
from portal.monitoring import store

KEY = store.PREFIX + "gateway-policies:{slot}"
#: Settings kept of a slot, and seconds without a change after which they are forgotten.
KEPT = 20
TTL = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Told:
    """The settings that a gateway told, and when that was first seen."""

    at: datetime
    retry: Mapping[str, Any]


def note(statuses: Iterable[GatewayStatus], now: datetime) -> None:
    """Keep the settings of each status if they differ from the last ones.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    for status in statuses:
        newest = read(status.slot)[:1]
        if not status.retry or (newest and newest[0].retry == status.retry):
            continue
        name = KEY.format(slot=status.slot)
        pipeline = store.client().pipeline()
        pipeline.lpush(name, orjson.dumps({"at": now.timestamp(), "retry": status.retry}))
        pipeline.ltrim(name, 0, KEPT - 1)
        pipeline.expire(name, TTL)
        pipeline.execute()


def read(slot: str) -> list[Told]:
    """Return the settings of ``slot``, the newest first, at most :data:`KEPT`.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    raws = store.client().lrange(KEY.format(slot=slot), 0, KEPT - 1)
    rows = [orjson.loads(raw) for raw in raws]
    return [Told(datetime.fromtimestamp(row["at"], UTC), row["retry"]) for row in rows]
