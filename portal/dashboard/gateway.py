"""The gateway as the portal sees it, read from Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from django.conf import settings

from gateway.status import read_attempts, read_feeds, read_statuses
from portal.dashboard.data import GatewayPanel
from portal.heartbeat import ages

ATTEMPTS_SHOWN = 10
TIMEOUT = 1.0


@contextmanager
def connect() -> Iterator[redis.Redis]:
    """Give a client with short timeouts, so that a page never hangs on Redis."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    try:
        yield client
    finally:
        client.close()


def read_panel() -> GatewayPanel:
    """Return the gateway's state; an unreachable Redis is shown, never raised."""
    slots = tuple(key.slot for key in settings.GATEWAY_UPSTREAM.keys)
    try:
        with connect() as client:
            seen = ages(client)
            workers = [age for name, age in seen.items() if name.startswith("worker:collect@")]
            return GatewayPanel(
                reachable=True,
                slots=slots,
                statuses=tuple(read_statuses(client, slots)),
                feeds=tuple(read_feeds(client)),
                attempts=tuple(read_attempts(client, slots[0], ATTEMPTS_SHOWN)) if slots else (),
                beat_age_s=seen.get("beat"),
                worker_age_s=min(workers, default=None),
            )
    except (redis.RedisError, ValueError, TypeError):
        return GatewayPanel(reachable=False, slots=slots)
