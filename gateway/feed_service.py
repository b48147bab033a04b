"""The feed of one web process: hub, bus, limits and checks, owned by one event loop.

It starts with the first connection, because not every ASGI server announces its start.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import socket
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import DatabaseError

from gateway import auth, keys, tickets
from gateway.auth import BadCredentials, Principal
from gateway.balance import Balance
from gateway.config import FeedConfig
from gateway.feed_bus import FeedBus
from gateway.feed_frames import Close, Verdict
from gateway.feed_reporter import FeedReporter
from gateway.feed_store import TIMEOUT, async_client, end_if_cancelled
from gateway.hub import Hub
from gateway.limits import ConnectionLimits
from gateway.memory import MemoryGuard, cgroup_limit
from gateway.models import digest
from gateway.status import read_feed_counts

logger = logging.getLogger(__name__)

#: Seconds between two rounds of PINGs, state changes and slow-client checks.
TICK = 0.5
#: Every connected key is checked again this often, in seconds.
RECHECK = 60.0
#: Seconds for the service's tasks to end.
STOP_TIMEOUT = 5.0
#: Seconds that a client turned away for want of memory waits.
SHED_RETRY = 30.0
#: Seconds between two looks at the other processes' connections, and in which those that move are told: a
#: report is up to 5 s old.
BALANCE_EVERY, BALANCE_FOR = 7.0, 5.0
#: Seconds after which a client comes back that is sent to another process.
MOVE_RETRY = 1.0
#: Keys that are checked again in one round at most, and that wait for it; with more, the next round goes on
#: where this one ended.
RECHECK_MAX = 1000

_services: WeakKeyDictionary[asyncio.AbstractEventLoop, FeedService] = WeakKeyDictionary()


class FeedUnavailable(Exception):
    """Redis or the database does not answer; try later."""


class FeedService:
    """Everything the connections of one process share."""

    def __init__(self, config: FeedConfig, client: redis.asyncio.Redis | None = None) -> None:
        self.config = config
        self.limits = ConnectionLimits(config)
        self.memory = MemoryGuard(config.memory_limit or cgroup_limit(), config.memory_shed_ratio)
        self.draining: Verdict | None = None
        self.balance = Balance()
        #: How to end the connections that have not logged in yet; the others are in the hub.
        self.waiting: set[Callable[[Verdict], None]] = set()
        self.process = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._client = client or async_client()
        loop = asyncio.get_running_loop()
        self.hub = Hub(config, schedule=loop.call_later, topics_changed=self._topics_changed)
        self._reporter = FeedReporter(self._client, self.hub, process=self.process)
        self._bus = FeedBus(
            self._client,
            self.hub,
            config,
            process=self.process,
            on_key=self._key_changed,
            others={self._reporter.channel: self._reporter.request},
        )
        self._recheck: asyncio.Queue[int] = asyncio.Queue(RECHECK_MAX)
        self._task = loop.create_task(self._run(), name="feed")
        self._task.add_done_callback(self._ended)

    @property
    def running(self) -> bool:
        """Whether the service still works."""
        return not self._task.done()

    @property
    def refusal(self) -> Verdict | None:
        """Why no new connection is taken in now; None when it is."""
        if self.draining is None and self.memory.short:
            return Verdict(Close.TRY_LATER, "short of memory", SHED_RETRY)
        return self.draining

    async def login(self, token: str) -> Principal:
        """Return who a LOGIN's token or ticket belongs to.

        Raises:
            BadCredentials: it is not valid.
            FeedUnavailable: Redis or the database does not answer.
        """
        try:
            if token.startswith(tickets.PREFIX):
                async with asyncio.timeout(TIMEOUT):
                    subject = await tickets.redeem(self._client, token)
                if subject is None:
                    raise BadCredentials("the ticket is unknown, used or too old")
                return await database_sync_to_async(auth.principal_of_subject)(subject, self.config)
            token_digest = digest(token)
            async with asyncio.timeout(TIMEOUT):
                held = auth.holder(await self._client.get(keys.TOKEN.format(digest=token_digest)))
            if held is None:
                raise BadCredentials("Token이 유효하지 않습니다")
            return await database_sync_to_async(auth.principal_of_key)(
                held["key"], self.config, token_digest=token_digest, expires=held["expires"]
            )
        except (redis.RedisError, DatabaseError, OSError) as error:
            raise FeedUnavailable from error

    async def drain(self) -> int:
        """Refuse new connections and close all with 1012, telling each another time to come back.

        Returns the number of connections that were told.
        """
        count = len(self.hub.clients) + len(self.waiting)
        spread = max(2.0, count / self.config.connect_rate)
        self.draining = Verdict(Close.RESTARTING, "restarting", spread)
        self._send_away(lambda place: self._restarting(1.0 + spread * place / max(1, count)))
        await self._bus.withdraw()
        return count

    async def stop(self) -> None:
        """End the service's tasks and close its connections to Redis."""
        self._task.cancel()
        await asyncio.wait([self._task], timeout=STOP_TIMEOUT)
        await self._bus.withdraw()
        await self._client.aclose()

    def _send_away(self, verdict: Callable[[int], Verdict]) -> None:
        for place, end in enumerate(list(self.waiting), len(self.hub.clients)):
            end(verdict(place))
        self.hub.close_all(verdict)

    @staticmethod
    def _restarting(retry_after: float) -> Verdict:
        jitter = random.uniform(0.0, 0.5)  # noqa: S311 - jitter, not a secret
        return Verdict(Close.RESTARTING, "restarting", retry_after + jitter)

    def _topics_changed(self) -> None:
        self._bus.topics_changed()

    def _key_changed(self, key: int) -> None:
        if not self._recheck.full():
            self._recheck.put_nowait(key)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        logger.critical("The feed stopped working; its clients are sent away", exc_info=task.exception())
        self._send_away(lambda _: self._restarting(1.0))

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._bus.run())
            tasks.create_task(self._tick())
            tasks.create_task(self._check_keys())
            tasks.create_task(self._reporter.report_on_demand())
            tasks.create_task(self._reporter.disconnect_on_request())
            tasks.create_task(self._balance())

    async def _tick(self) -> None:
        due, last = time.monotonic() + RECHECK, 0
        while True:
            await asyncio.sleep(TICK)
            self.hub.tick()
            self.memory.look()
            if time.monotonic() >= due:
                due = time.monotonic() + RECHECK
                connected = {client.key for client in self.hub.clients if client.key is not None}
                for key in in_turn(connected, last, RECHECK_MAX - self._recheck.qsize()):
                    self._key_changed(last := key)

    async def _balance(self) -> None:
        """Send connections away that a process which is new can serve, as :mod:`gateway.balance` says."""
        rate = self.config.rebalance_rate
        while rate > 0:
            await asyncio.sleep(BALANCE_EVERY)
            try:
                async with asyncio.timeout(TIMEOUT):
                    counts = await read_feed_counts(self._client)
            except (redis.RedisError, OSError, ValueError):
                continue  # the bus says that Redis is away
            end_if_cancelled()
            counts.pop(self.process, None)
            clients = list(self.hub.clients)
            moving = clients[: self.balance.to_move(len(clients), counts, round(rate * BALANCE_FOR))]
            if moving:
                logger.info("Sending %d of %d connections to other processes", len(moving), len(clients))
            for client in moving:
                self.hub.close(client, self._restarting(MOVE_RETRY))
                await asyncio.sleep(1 / rate)

    async def _check_keys(self) -> None:
        """Apply what changed of a key: its end, its token's end, its rights."""
        while True:
            key = await self._recheck.get()
            try:
                await self._check_key(key)
            except (redis.RedisError, DatabaseError, OSError) as error:
                logger.warning("Feed key %d could not be checked again: %s", key, error)

    async def _check_key(self, key: int) -> None:
        clients = [client for client in self.hub.clients if client.key == key]
        if not clients:
            return
        try:
            principal = await database_sync_to_async(auth.principal_of_key)(key, self.config)
        except BadCredentials as error:
            for client in clients:
                self.hub.close(client, Verdict(Close.BAD_KEY, str(error)))
            return
        for client in clients:
            name = keys.TOKEN.format(digest=client.token_digest)
            async with asyncio.timeout(TIMEOUT):
                revoked = await self._client.get(name) == auth.REVOKED
            if client.token_digest and revoked:
                self.hub.close(client, Verdict(Close.BAD_KEY, "the token was revoked"))
                continue
            ends = [end for end in (client.token_expires, principal.expires) if end is not None]
            client.expires = min(ends, default=None)
            self.hub.restrict(client, principal.rights)


def in_turn(connected: Iterable[int], last: int, most: int) -> list[int]:
    """Return at most ``most`` of the numbers: those above ``last`` in order, then from the least on."""
    ordered = sorted(connected)
    place = bisect_right(ordered, last)
    return (ordered[place:] + ordered[:place])[:most]


def feed_service() -> FeedService:
    """Return the running loop's service, starting it when there is none."""
    loop = asyncio.get_running_loop()
    service = _services.get(loop)
    if service is None or not service.running:
        service = _services[loop] = FeedService(settings.GATEWAY_FEED)
    return service


def existing_service() -> FeedService | None:
    """Return the running loop's service if it was started."""
    return _services.get(asyncio.get_running_loop())
