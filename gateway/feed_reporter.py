"""The reporting side within a web process: counts what the hub holds, and ends a connection on request."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
import redis
import redis.asyncio

from gateway import keys
from gateway.feed_report import (
    CONNECTIONS_MAX,
    PERIOD,
    REPORT_TTL,
    TOPICS_MAX,
    Connection,
    Disconnect,
    FeedReport,
    TopicLoad,
    most_wanted,
)
from gateway.feed_store import TIMEOUT, end_if_cancelled
from gateway.hub import Client, Hub
from gateway.status import FeedStatus

logger = logging.getLogger(__name__)

#: Topics named for one connection.
NAMED_MAX = 8
#: Requests to disconnect that wait in one process at most; further ones get no answer.
REQUESTS_MAX = 100
#: Seconds that the answer to a request is kept for whoever asked.
REPLY_TTL = 10


@dataclass(slots=True)
class _Rates:
    """Rows a second of each topic from two readings of its counter."""

    at: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)

    def read(self, rows: dict[str, int], now: float) -> dict[str, float]:
        before, span = self.rows, now - self.at
        grown = {name: count - before[name] for name, count in rows.items() if name in before}
        self.rows, self.at = rows, now
        return {name: max(0, count) / span for name, count in grown.items()} if span > 0 else {}


class FeedReporter:
    """The reporting side within a web process; belongs to the hub's event loop."""

    def __init__(self, client: redis.asyncio.Redis, hub: Hub, *, process: str) -> None:
        self._client = client
        self._hub = hub
        self._process = process
        self._rates = _Rates()
        self._requests: asyncio.Queue[Disconnect] = asyncio.Queue(REQUESTS_MAX)

    @property
    def channel(self) -> str:
        """The channel on which requests for this process come."""
        return keys.DISCONNECT_CHANNEL.format(process=self._process)

    def request(self, data: bytes) -> None:
        """Take a request from the channel; one that cannot be read or queued is dropped with a line.

        Raises:
            ValueError: it is not a request.
        """
        try:
            request = Disconnect(**orjson.loads(data))
        except TypeError as error:
            raise ValueError(f"not a request to disconnect: {error}") from error
        if self._requests.full():
            logger.warning("Too many requests to disconnect wait; one was dropped")
        else:
            self._requests.put_nowait(request)

    def report(self) -> FeedReport:
        """Return the report of this moment."""
        now, wall = time.monotonic(), time.time()
        rates = self._rates.read({topic.name: topic.rows for topic in self._hub.loads()}, now)
        first = heapq.nsmallest(CONNECTIONS_MAX, self._hub.clients, key=_client_order)
        topics = [
            TopicLoad(
                name=topic.name,
                subscribers=sum(len(group.members) for group in topic.groups),
                rows_per_s=round(rates[topic.name], 1) if topic.name in rates else None,
            )
            for topic in self._hub.loads()
        ]
        return FeedReport(
            process=self._process,
            at=wall,
            connections=_connections(first, now),
            connections_total=len(self._hub.clients),
            topics=tuple(heapq.nsmallest(TOPICS_MAX, topics, key=most_wanted)),
            topics_total=len(topics),
        )

    async def report_on_demand(self) -> None:
        """Report while somebody watches, until cancelled."""
        name = keys.FEED_REPORT.format(process=self._process)
        while True:
            # Redis being away is said by the bus; a page without reports says so itself.
            try:
                async with asyncio.timeout(TIMEOUT):
                    if await self._client.exists(keys.FEED_WATCHED):
                        await self._client.set(name, self.report().encode(), ex=REPORT_TTL)
                    else:
                        self._rates = _Rates()
            except (redis.RedisError, OSError):
                self._rates = _Rates()
            end_if_cancelled()
            await asyncio.sleep(PERIOD)

    async def disconnect_on_request(self) -> None:
        """Carry out requests until cancelled."""
        while True:
            request = await self._requests.get()
            found = next((one for one in self._hub.clients if one.id == request.connection), None)
            if found is not None:
                self._hub.close(found, request.verdict)
                logger.warning("Connection %s of %s was closed by an operator", found.id, found.name)
            if request.reply:
                try:
                    async with asyncio.timeout(TIMEOUT):
                        await self._client.lpush(request.reply, "done" if found else "gone")
                        await self._client.expire(request.reply, REPLY_TTL)
                except (redis.RedisError, OSError) as error:
                    logger.warning("The answer to an operator was lost: %s", error)
                end_if_cancelled()


def feed_status(hub: Hub, process: str) -> FeedStatus:
    """Return the sums over ``hub``'s clients, as they are published whether anybody watches or not."""
    clients = hub.clients
    return FeedStatus(
        process=process,
        at=time.time(),
        connections=len(clients),
        topics=len(hub.topics),
        rows_in=hub.rows_in,
        rows_out=hub.rows_out,
        dropped=hub.dropped,
        closes=dict(hub.closes),
        subscriptions=sum(len(client.topics) for client in clients),
        queued_frames=sum(len(client.queue) for client in clients),
        queued_bytes=sum(client.queue.size for client in clients),
        conflating=sum(client.queue.conflating for client in clients),
        tasks=len(asyncio.all_tasks()),
    )


def _connections(clients: Iterable[Client], now: float) -> tuple[Connection, ...]:
    # Many clients want the same topics: the names are looked for once.
    named: dict[frozenset[str], tuple[str, ...]] = {}
    found = []
    for client in clients:
        topics, queue = client.topics, client.queue
        if topics not in named:
            named[topics] = tuple(heapq.nsmallest(NAMED_MAX, topics))
        waiting = queue.waiting_since
        found.append(
            Connection(
                id=client.id,
                name=client.name,
                key=client.key,
                address=client.address,
                since=client.since,
                topics=len(topics),
                named=named[topics],
                queued_frames=len(queue),
                queued_bytes=queue.size,
                dropped=queue.dropped_total,
                lag_s=0.0 if waiting is None else round(max(0.0, now - waiting), 1),
                conflating=queue.conflating,
            )
        )
    return tuple(found)


def _client_order(client: Client) -> tuple[int, int, float]:
    return -client.queue.size, -client.queue.dropped_total, client.since
