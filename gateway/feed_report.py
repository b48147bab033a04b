"""What each web process tells operators about its connections and topics, and how one is disconnected.

Reports are written only while somebody watches: the page renews a key with a TTL, processes look for it.
A report holds at most ``CONNECTIONS_MAX`` connections and ``TOPICS_MAX`` topics, about 200 KiB; with 2,000
connections of 20 topics it took 11 ms of CPU each ``PERIOD``.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import orjson
import redis

from gateway import keys
from gateway.feed_frames import Close, Verdict
from gateway.feed_store import raw_bytes
from gateway.status import known

#: Connections and topics of one report at most; the rest is a number.
CONNECTIONS_MAX, TOPICS_MAX = 500, 300
#: Seconds between two reports, and how long one counts.
PERIOD, REPORT_TTL = 2.0, 6
#: Seconds that reports go on after the last look at the page.
WATCH_TTL = 10
#: Processes whose reports are read at most.
PROCESSES_MAX = 100
#: Seconds that a client is told to wait that may come back.
RETRY_AFTER = 5.0
#: Bytes of a close frame's reason, by RFC 6455.
REASON_BYTES = 123


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One logged-in connection. ``since`` is in unix seconds; ``lag_s`` counts since the queue was empty."""

    id: str
    name: str
    key: int | None
    address: str
    since: float
    topics: int
    named: tuple[str, ...] = ()
    queued_frames: int = 0
    queued_bytes: int = 0
    dropped: int = 0
    lag_s: float = 0.0
    conflating: bool = False
    process: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLoad:
    """One topic in one process; ``rows_per_s`` is None until there are two readings."""

    name: str
    subscribers: int
    rows_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReport:
    """One process's connections (longest queue first) and topics (most subscribers first)."""

    process: str
    at: float
    connections: tuple[Connection, ...] = ()
    connections_total: int = 0
    topics: tuple[TopicLoad, ...] = ()
    topics_total: int = 0

    def encode(self) -> bytes:
        """Return JSON for Redis."""
        return orjson.dumps(self)

    @classmethod
    def decode(cls, raw: bytes | str) -> FeedReport:
        """Read :meth:`encode`'s output; unknown fields are ignored, so that versions can differ.

        Raises:
            ValueError: it is not such JSON.
        """
        try:
            data: dict[str, Any] = orjson.loads(raw)
            process = str(data["process"])
            connections = (known(Connection, one) for one in data["connections"])
            data["connections"] = tuple(
                Connection(**{**one, "named": tuple(one["named"]), "process": process}) for one in connections
            )
            data["topics"] = tuple(TopicLoad(**known(TopicLoad, one)) for one in data["topics"])
            return cls(**known(cls, data))
        except (KeyError, TypeError, orjson.JSONDecodeError) as error:
            raise ValueError(f"not a feed report: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLoad:
    """Every process's report as one list each, bounded as a report is."""

    connections: tuple[Connection, ...] = ()
    connections_total: int = 0
    topics: tuple[TopicLoad, ...] = ()
    topics_total: int = 0
    processes: int = 0
    at: float | None = None


def merge(reports: Iterable[FeedReport]) -> FeedLoad:
    """Join reports. Each process gets every row of a topic, so rates are not added, subscribers are.

    ``topics_total`` is exact unless a process has more topics than a report holds.
    """
    reports = list(reports)
    topics: dict[str, TopicLoad] = {}
    for topic in (topic for report in reports for topic in report.topics):
        other = topics.get(topic.name)
        rates = [one.rows_per_s for one in (other, topic) if one and one.rows_per_s is not None]
        topics[topic.name] = TopicLoad(
            name=topic.name,
            subscribers=topic.subscribers + (other.subscribers if other else 0),
            rows_per_s=max(rates, default=None),
        )
    connections = [one for report in reports for one in report.connections]
    return FeedLoad(
        connections=tuple(heapq.nsmallest(CONNECTIONS_MAX, connections, key=_longest_queue)),
        connections_total=sum(report.connections_total for report in reports),
        topics=tuple(heapq.nsmallest(TOPICS_MAX, topics.values(), key=most_wanted)),
        topics_total=max([len(topics), *(report.topics_total for report in reports)]),
        processes=len(reports),
        at=min((report.at for report in reports), default=None),
    )


def watch(client: redis.Redis, processes: Iterable[str]) -> list[FeedReport]:
    """Ask every process to report for the next seconds and return what ``processes`` have reported.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    client.set(keys.FEED_WATCHED, 1, ex=WATCH_TTL)
    names = [keys.FEED_REPORT.format(process=process) for process in islice(processes, PROCESSES_MAX)]
    reports = []
    for raw in client.mget(names) if names else []:
        with contextlib.suppress(ValueError):  # a process of another version; the page counts reports
            reports += [FeedReport.decode(raw)] if raw else []
    return reports


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """A request to end one connection. ``reply`` names the list where the answer is awaited."""

    connection: str
    reason: str
    may_return: bool
    reply: str = ""

    @property
    def verdict(self) -> Verdict:
        """The close: 1012 invites to come back, 4403 does not."""
        if self.may_return:
            return Verdict(Close.RESTARTING, _fitting(self.reason, RETRY_AFTER), RETRY_AFTER)
        return Verdict(Close.NOT_ALLOWED, _fitting(self.reason, None))


def request_disconnect(client: redis.Redis, process: str, request: Disconnect, timeout: float) -> str:
    """Send ``request`` to ``process`` and return ``done``, ``gone`` (no such connection) or ``no-answer``.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    channel = keys.DISCONNECT_CHANNEL.format(process=process)
    if not client.publish(channel, orjson.dumps(asdict(request))):
        return "gone"
    answer = client.blpop([request.reply], timeout=timeout)
    return raw_bytes(answer[1]).decode() if answer else "no-answer"


def _longest_queue(one: Connection) -> tuple[int, int, float]:
    return -one.queued_bytes, -one.dropped, one.since


def most_wanted(topic: TopicLoad) -> tuple[int, str]:
    """Return the key that sorts the topic with the most subscribers first."""
    return -topic.subscribers, topic.name


def _fitting(reason: str, retry_after: float | None) -> str:
    """Cut ``reason`` so that its close frame holds it whole, in characters and not in the middle of one."""
    while len(Verdict(Close.NOT_ALLOWED, reason, retry_after).reason.encode()) > REASON_BYTES:
        reason = reason[: min(len(reason) - 1, 80)]
    return reason
