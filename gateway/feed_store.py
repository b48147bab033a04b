"""Redis clients of the web process: one for synchronous views, one for each event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cache

import redis
import redis.asyncio
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.redis_client import connect

#: Seconds for one command; a Redis slower than that is treated as gone.
TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class LastValue:
    """A topic's last known row. ``at`` is in unix seconds."""

    fence: int
    at: float
    row: bytes

    @classmethod
    def decode(cls, raw: bytes | str) -> LastValue:
        """Read ``FENCE|UNIX_MS|ROW``.

        Raises:
            ValueError: it is something else.
        """
        fence, at, row = raw_bytes(raw).split(b"|", 2)
        return cls(int(fence), int(at) / 1000, row)


def end_if_cancelled() -> None:
    """End the running task if it was told to end and a command of Redis lost that on its way up.

    A cancellation that meets an error of the connection is forgotten; a loop that catches such errors, or
    goes on after a command, would run for ever.

    Raises:
        asyncio.CancelledError: the task was told to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def raw_bytes(reply: bytes | str) -> bytes:
    """Return a reply as bytes, which it always is: these clients do not decode."""
    return reply if isinstance(reply, bytes) else reply.encode()


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
    return connect(settings.REDIS_URL, max_connections=64)
