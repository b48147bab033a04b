"""Redis clients of the web process: one for synchronous views, one for each event loop."""

from __future__ import annotations

from functools import cache

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

#: Seconds for one command; a Redis slower than that is treated as gone.
TIMEOUT = 3.0


@cache
def sync_client() -> redis.Redis:
    """Return the process's client for views; it is safe to share between threads."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 1),
        max_connections=64,
    )


def async_client() -> redis.asyncio.Redis:
    """Return a new client that never retries by itself: its owner decides when to come back."""
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=AsyncRetry(NoBackoff(), 0),
        max_connections=64,
    )
