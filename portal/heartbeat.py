"""Heartbeats in Redis: unix seconds under ``heartbeat:NAME`` with a TTL.

Beat and workers say that they live; ``round:NAME`` says that a round of sweeps or probes came to its end.
"""

from __future__ import annotations

import time

import redis
from django.conf import settings

from gateway import keys

#: Seconds a heartbeat stays readable; long enough to tell "silent since" from "never ran".
TTL = 3600
#: Begins the names of rounds.
ROUND = "round:"
#: Heartbeats read at most.
LIMIT = 200
#: Seconds that clocks of machines may differ.
SKEW = 30.0


def write(name: str, client: redis.Redis | None = None) -> None:
    """Record that ``name`` lives now.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    own = client or redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    try:
        own.set(keys.HEARTBEAT.format(name=name), f"{time.time():.3f}", ex=TTL)
    finally:
        if client is None:
            own.close()


def ages(client: redis.Redis) -> dict[str, float]:
    """Return the age in seconds of each heartbeat (at most ``LIMIT``), as :func:`age_of` counts it.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    prefix = keys.HEARTBEAT.format(name="")
    names: list[bytes] = []
    for name in client.scan_iter(match=f"{prefix}*", count=500):
        names.append(name)
        if len(names) == LIMIT:
            break
    values = client.mget(names) if names else []
    now = time.time()
    found: dict[str, float] = {}
    for name, value in zip(names, values, strict=True):
        if value is None:
            continue
        try:
            found[name.decode().removeprefix(prefix)] = age_of(now - float(value))
        except ValueError:
            continue
    return found


def age_of(seconds: float) -> float:
    """Return how old a heartbeat counts that was written so many seconds ago.

    One from the future was written by a clock that was ahead: it counts as that old, since it says nothing
    about now and would hide a dead process until its time has come. A difference of ``SKEW`` between two
    machines is none.
    """
    return max(0.0, seconds) if seconds >= -SKEW else -seconds
