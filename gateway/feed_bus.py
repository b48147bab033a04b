"""The web process's side of the bus: one subscription, and leases that say what its clients want.

If Redis goes away the clients stay: the hub is told, and the subscription comes back by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
import redis
import redis.asyncio
from redis.asyncio.client import PubSub

from gateway import keys
from gateway.config import FeedConfig
from gateway.feed_reporter import feed_status
from gateway.feed_store import TIMEOUT, LastValue, end_if_cancelled, raw_bytes
from gateway.hub import Hub
from gateway.status import FeedState, Gap, GatewayStatus

logger = logging.getLogger(__name__)

#: Delay before the first reconnect and its cap, in seconds; it doubles, and jitter takes up to half away.
RETRY_BASE, RETRY_CAP = 0.5, 10.0
#: A subscription that says nothing for this long is asked whether it lives, in seconds.
QUIET = 3.0
#: Leases are renewed this often, in seconds, and soon after a change.
RENEW = 5.0
#: Unreadable messages are told at most this often, in seconds.
COMPLAIN_EVERY = 60.0
#: Statuses read at start at most.
STATUS_MAX = 100
#: Gaps read for each slot after the bus was lost, and gaps remembered as told.
GAPS_READ, GAPS_TOLD = 10, 200

_CHANNEL = keys.ROWS_CHANNEL.format(topic="")


async def _unchanged(response: Any) -> Any:
    """Stand in for redis-py's handler, which spells each message out for a log line that nobody asked for."""
    return response


class FeedBus:
    """Feeds a hub from Redis. ``on_key`` is called with the number of a feed key whose rights changed.

    ``others`` are further channels and who takes their messages (a ValueError is logged).
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        hub: Hub,
        config: FeedConfig,
        *,
        process: str,
        on_key: Callable[[int], None],
        others: Mapping[str, Callable[[bytes], None]] | None = None,
    ) -> None:
        self._client = client
        self._hub = hub
        self._config = config
        self._process = process
        self._on_key = on_key
        self._others = dict(others or {})
        self._changed = asyncio.Event()
        self._subscribed: frozenset[str] = frozenset()
        self._failures = 0
        self._complained = -COMPLAIN_EVERY
        self._told: deque[int] = deque(maxlen=GAPS_TOLD)
        #: When the subscription last said something; None before the first one.
        self._alive_at: float | None = None

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
            end_if_cancelled()
            self._hub.state.bus(False)
            delay = min(RETRY_CAP, RETRY_BASE * 2 ** min(self._failures - 1, 10))
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret

    async def _session(self) -> None:
        async with self._client.pubsub(push_handler_func=_unchanged) as pubsub:
            self._subscribed = self._hub.topics
            channels = [keys.ROWS_CHANNEL.format(topic=topic) for topic in self._subscribed]
            own = (keys.STATUS_CHANNEL, keys.KEYS_CHANNEL, keys.GAPS_CHANNEL, *self._others)
            async with asyncio.timeout(TIMEOUT):
                await pubsub.subscribe(*own, *channels)
                heard = self._hub.state.heard
                slots = await self._read_statuses()
                self._hub.state.bus(True)
                if self._failures:
                    await self._read_gaps(slots, heard)
                    self._tell_own_gap()
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
                heard, self._alive_at = time.monotonic(), time.time()
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
            elif channel == keys.GAPS_CHANNEL:
                self._tell_gap(Gap.decode(data))
            elif channel in self._others:
                self._others[channel](data)
            else:
                fence, _, rows = data.partition(b"|")
                self._hub.publish(channel.removeprefix(_CHANNEL), int(fence), rows)
        except ValueError as error:
            if time.monotonic() - self._complained >= COMPLAIN_EVERY:
                self._complained = time.monotonic()
                logger.warning("Unreadable message on %s: %s", channel, str(error)[:200])

    async def _follow(self, pubsub: PubSub) -> None:
        """Subscribe and unsubscribe as the hub's topics change, and renew the leases."""
        while True:
            end_if_cancelled()
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
        status = feed_status(self._hub, self._process)
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

    async def _read_statuses(self) -> list[str]:
        """Take in the status of each slot that has one; returns the slots."""
        names: list[bytes] = []
        async for name in self._client.scan_iter(match=keys.STATUS.format(slot="*"), count=500):
            names.append(name)
            if len(names) == STATUS_MAX:
                break
        for raw in await self._client.mget(names) if names else []:
            if raw:
                self._handle(keys.STATUS_CHANNEL, raw_bytes(raw))
        prefix = keys.STATUS.format(slot="")
        return [name.decode().removeprefix(prefix) for name in names]

    async def _read_gaps(self, slots: list[str], heard: float) -> None:
        """Tell of the gaps that ended after ``heard`` (unix seconds), while nobody listened here."""
        for slot in slots:
            for raw in await self._client.lrange(keys.GAPS.format(slot=slot), 0, GAPS_READ - 1):
                try:
                    gap = Gap.decode(raw)
                except ValueError:
                    continue  # of a gateway of another version
                if gap.until >= heard:
                    self._tell_gap(gap)

    def _tell_own_gap(self) -> None:
        """Tell of what this process did not hear; if it alone lost Redis, the gateway knows of no gap."""
        now, topics = time.time(), tuple(self._subscribed)
        closed = self._hub.state.view(time.monotonic(), now).state is FeedState.CLOSED
        if self._alive_at is None or not topics or closed:
            return
        self._tell_gap(
            Gap(slot="", since=self._alive_at, until=now, topics=topics, count=len(topics), reason="redis")
        )

    def _tell_gap(self, gap: Gap) -> None:
        # Items that came from a slot in several steps have gaps with the same beginning.
        if (seen := hash(gap)) not in self._told:
            self._told.append(seen)
            self._hub.gap(gap)
