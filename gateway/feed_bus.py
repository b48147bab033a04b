"""The web process's side of the bus: one subscription, and leases that say what its clients want.

If Redis goes away the clients stay: the hub is told, and the subscription comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
import redis
import redis.asyncio
from redis.asyncio.client import PubSub

from gateway import keys
from gateway.config import FeedConfig
from gateway.feed_store import TIMEOUT, LastValue, raw_bytes
from gateway.hub import Hub
from gateway.status import FeedStatus, GatewayStatus

logger = logging.getLogger(__name__)

#: Delay before the first reconnect and its cap, in seconds; it doubles, and jitter takes up to half away.
RETRY_BASE, RETRY_CAP = 0.5, 10.0
#: A subscription that says nothing for this long is asked whether it lives, in seconds.
QUIET = 3.0
#: Leases are renewed this often, in seconds, and soon after a change.
RENEW = 5.0
#: Statuses read at start at most.
STATUS_MAX = 100

_CHANNEL = keys.ROWS_CHANNEL.format(topic="")


async def _unchanged(response: Any) -> Any:
    """Stand in for redis-py's handler, which spells each message out for a log line that nobody asked for."""
    return response


class FeedBus:
    """Feeds a hub from Redis. ``on_key`` is called with the number of a feed key whose rights changed."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        hub: Hub,
        config: FeedConfig,
        *,
        process: str,
        on_key: Callable[[int], None],
    ) -> None:
        self._client = client
        self._hub = hub
        self._config = config
        self._process = process
        self._on_key = on_key
        self._changed = asyncio.Event()
        self._subscribed: frozenset[str] = frozenset()
        self._failures = 0

    def topics_changed(self) -> None:
        """Take note that the hub's topics changed."""
        self._changed.set()

    async def run(self) -> None:
        """Keep the subscription and the leases alive until cancelled."""
        while True:
            try:
                # A TaskGroup of Python 3.11 forgets a cancellation that meets an error of its children, and
                # leaves cancellations counted that nobody asked for: hence a task of its own.
                await asyncio.create_task(self._session())
            except* (redis.RedisError, OSError) as group:
                self._note_failure(group.exceptions[0])
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise asyncio.CancelledError
            self._hub.state.bus(False)
            delay = min(RETRY_CAP, RETRY_BASE * 2 ** min(self._failures - 1, 10))
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    async def _session(self) -> None:
        async with self._client.pubsub(push_handler_func=_unchanged) as pubsub:
            self._subscribed = self._hub.topics
            channels = [keys.ROWS_CHANNEL.format(topic=topic) for topic in self._subscribed]
            async with asyncio.timeout(TIMEOUT):
                await pubsub.subscribe(keys.STATUS_CHANNEL, keys.KEYS_CHANNEL, *channels)
                await self._read_statuses()
                self._hub.state.bus(True)
                await self._restore(self._subscribed)
            if self._failures:
                logger.warning("Feed bus is back after %d failed attempts", self._failures)
            self._failures = 0
            self._changed.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(pubsub))
                tasks.create_task(self._follow(pubsub))

    def _note_failure(self, error: BaseException) -> None:
        self._failures += 1
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if self._failures == 1:
            logger.warning("Feed bus lost, clients stay connected: %s", error)

    async def _read(self, pubsub: PubSub) -> None:
        heard = time.monotonic()
        while True:
            message = await pubsub.get_message(timeout=QUIET)
            if message is not None:
                heard = time.monotonic()
                if message["type"] == "message":
                    self._handle(message["channel"].decode(), message["data"])
                continue
            # The confirmation of a SUBSCRIBE is None as well, and at once: only time tells silence.
            silent = time.monotonic() - heard
            if silent >= 3 * QUIET:
                raise redis.ConnectionError("the subscription is silent")
            if silent >= QUIET:
                async with asyncio.timeout(TIMEOUT):
                    await pubsub.ping()

    def _handle(self, channel: str, data: bytes) -> None:
        try:
            if channel == keys.STATUS_CHANNEL:
                self._hub.state.update(GatewayStatus.decode(data), time.monotonic(), time.time())
                self._hub.tick()
            elif channel == keys.KEYS_CHANNEL:
                self._on_key(int(data))
            else:
                fence, _, rows = data.partition(b"|")
                self._hub.publish(channel.removeprefix(_CHANNEL), int(fence), rows)
        except ValueError:
            logger.warning("Unreadable message on %s", channel, exc_info=True)

    async def _follow(self, pubsub: PubSub) -> None:
        """Subscribe and unsubscribe as the hub's topics change, and renew the leases."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW):
                    await self._changed.wait()
            self._changed.clear()
            wanted = self._hub.topics
            added, gone = wanted - self._subscribed, self._subscribed - wanted
            self._subscribed = wanted
            async with asyncio.timeout(TIMEOUT):
                await self._each(pubsub.subscribe, added)
                await self._each(pubsub.unsubscribe, gone)
                await self._announce(changed=bool(added or gone))
                await self._restore(self._hub.take_new())

    @staticmethod
    async def _each(command: Callable[..., Awaitable[object]], topics: frozenset[str]) -> None:
        if topics:
            await command(*(keys.ROWS_CHANNEL.format(topic=topic) for topic in topics))

    async def _announce(self, *, changed: bool) -> None:
        ttl = max(1, round(self._config.wanted_ttl))
        status = FeedStatus(
            process=self._process,
            at=time.time(),
            connections=len(self._hub.clients),
            topics=len(self._subscribed),
            rows_out=self._hub.rows_out,
            dropped=self._hub.dropped,
            closes=dict(self._hub.closes),
        )
        wanted = orjson.dumps(sorted(self._subscribed))
        await self._client.set(keys.WANTED.format(process=self._process), wanted, ex=ttl)
        if changed:
            await self._client.publish(keys.WANTED_CHANNEL, self._process)
        await self._client.set(keys.FEED.format(process=self._process), orjson.dumps(asdict(status)), ex=ttl)

    async def withdraw(self) -> None:
        """Take the leases back, so that a process that ends leaves no wishes behind."""
        names = [name.format(process=self._process) for name in (keys.WANTED, keys.FEED)]
        with contextlib.suppress(redis.RedisError, OSError):
            async with asyncio.timeout(TIMEOUT):
                await self._client.delete(*names)
                await self._client.publish(keys.WANTED_CHANNEL, self._process)

    async def _restore(self, topics: frozenset[str]) -> None:
        """Read the topics' last values; one the hub knows a newer row of is left alone."""
        names = sorted(topics)
        if not names:
            return
        values = await self._client.hmget(keys.LAST, names)
        for name, value in zip(names, values, strict=True):
            if value is None:
                continue
            try:
                last = LastValue.decode(value)
            except ValueError:
                logger.warning("Unreadable last value of %s", name)
            else:
                self._hub.restore(name, last.fence, last.at, last.row)

    async def _read_statuses(self) -> None:
        names: list[bytes] = []
        async for name in self._client.scan_iter(match=keys.STATUS.format(slot="*"), count=500):
            names.append(name)
            if len(names) == STATUS_MAX:
                break
        for raw in await self._client.mget(names) if names else []:
            if raw:
                self._handle(keys.STATUS_CHANNEL, raw_bytes(raw))
