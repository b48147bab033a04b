"""The gateway as the portal sees it, read from Redis, and the commands that people give it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import redis
from django.conf import settings

from gateway import keys
from gateway.status import read_attempts, read_feeds, read_statuses
from portal.dashboard.data import GatewayPanel
from portal.heartbeat import ages

logger = logging.getLogger(__name__)

VERBS = ("resume", "open_breaker", "close_breaker")
#: Commands that wait for a slot at most; older ones are dropped.
COMMANDS_MAX = 20
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


def command(*, slot: str, verb: str, reason: str, by: str) -> None:
    """Queue ``verb`` for the gateway process that owns ``slot`` and record who asked and why.

    Raises:
        ValueError: the slot or the verb is not one of ours, or there is no reason.
        redis.RedisError: Redis does not answer.
    """
    if slot not in {key.slot for key in settings.GATEWAY_UPSTREAM.keys} or verb not in VERBS:
        raise ValueError("unknown slot or command")
    if not reason.strip():
        raise ValueError("a reason is required")
    name = keys.COMMANDS.format(slot=slot)
    message = {"verb": verb, "reason": reason.strip()[:200], "by": by, "at": time.time()}
    with connect() as client:
        pipeline = client.pipeline()
        pipeline.rpush(name, orjson.dumps(message))
        pipeline.ltrim(name, -COMMANDS_MAX, -1)
        pipeline.execute()
    logger.warning("gateway command %s on %s by %s: %r", verb, slot, by, reason.strip()[:200])
