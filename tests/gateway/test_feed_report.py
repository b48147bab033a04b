"""What web processes report of their connections and topics, and how one of them is ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
import redis
import websockets

from gateway import keys
from gateway.config import FeedConfig
from gateway.feed_queue import ClientQueue
from gateway.feed_registrations import Registrations, Rights
from gateway.feed_report import (
    CONNECTIONS_MAX,
    TOPICS_MAX,
    Connection,
    Disconnect,
    FeedReport,
    TopicLoad,
    merge,
    request_disconnect,
    watch,
)
from gateway.feed_reporter import FeedReporter
from gateway.hub import Client, Hub
from gateway.status import read_feeds
from tests.conditions import wait_until
from tests.gateway.feed_world import Feed, Upstream, Web, reg, web_server

ONE = Connection(id="1", name="bot", key=1, address="203.0.113.9", since=1.0, topics=1, process="a")


def test_reports_are_joined_longest_queue_first() -> None:
    quiet, slow = replace(ONE, id="quiet"), replace(ONE, id="slow", queued_bytes=9000, process="b")
    shared = TopicLoad(name="0B:005930", subscribers=2, rows_per_s=10.0)
    first = FeedReport(process="a", at=5.0, connections=(quiet,), connections_total=700, topics=(shared,))
    second = FeedReport(
        process="b",
        at=4.0,
        connections=(slow,),
        connections_total=1,
        topics=(replace(shared, subscribers=3, rows_per_s=12.0), TopicLoad(name="0D:1", subscribers=1)),
        topics_total=2,
    )

    load = merge([first, second])

    assert [one.id for one in load.connections] == ["slow", "quiet"]
    assert (load.connections_total, load.processes, load.at, load.topics_total) == (701, 2, 4.0, 2)
    assert load.topics[0] == TopicLoad(name="0B:005930", subscribers=5, rows_per_s=12.0)


def test_the_joined_lists_are_bounded() -> None:
    many = tuple(replace(ONE, id=str(number)) for number in range(CONNECTIONS_MAX))
    topics = tuple(TopicLoad(name=f"0B:{number}", subscribers=1) for number in range(TOPICS_MAX))
    reports = [
        FeedReport(process=name, at=1.0, connections=many, connections_total=CONNECTIONS_MAX, topics=topics)
        for name in "ab"
    ]

    load = merge(reports)

    assert (len(load.connections), load.connections_total) == (CONNECTIONS_MAX, 2 * CONNECTIONS_MAX)
    assert len(load.topics) == TOPICS_MAX


def test_a_report_survives_its_way_and_a_newer_version() -> None:
    report = FeedReport(
        process="a",
        at=1.0,
        connections=(replace(ONE, named=("0B:005930",)),),
        topics=(TopicLoad(name="0B:005930", subscribers=1),),
    )
    raw = orjson.loads(report.encode())
    raw["news"] = raw["connections"][0]["news"] = raw["topics"][0]["news"] = 1

    assert FeedReport.decode(report.encode()) == report
    assert FeedReport.decode(orjson.dumps(raw)) == report


@pytest.mark.parametrize("raw", [b"{}", b"[]", b"x", b'{"process":"a","at":1,"connections":[{}]}'])
def test_anything_else_is_no_report(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a feed report"):
        FeedReport.decode(raw)


@pytest.mark.parametrize("reason", ["점검" * 100, '"' * 300, "x" * 300, "maintenance"])
@pytest.mark.parametrize("may_return", [True, False])
def test_a_reason_of_any_length_makes_a_whole_close_frame(reason: str, may_return: bool) -> None:
    verdict = Disconnect(connection="1", reason=reason, may_return=may_return).verdict

    assert len(verdict.reason.encode()) <= 123
    body = json.loads(verdict.reason)
    assert body["reason"]
    assert reason.startswith(body["reason"])
    assert (int(verdict.code), "retry_after" in body) == ((1012, True) if may_return else (4403, False))


def member(name: str, *topics: str) -> Client:
    queue = ClientQueue(FeedConfig(), lambda: None)
    return Client(queue, lambda verdict: None, Registrations(Rights()), name=name, address="203.0.113.9")


def test_a_process_reports_queue_dropped_topics_and_rates(redis_client: redis.Redis) -> None:
    hub = Hub(FeedConfig(queue_frames=1, flush_ms=0), schedule=lambda delay, call: call())
    reporter = FeedReporter(None, hub, process="a")  # type: ignore[arg-type] # nothing is written here
    slow, idle = member("slow"), member("idle")
    for client in (slow, idle):
        hub.add(client)
    topics = frozenset(f"0B:{number:06}" for number in range(12))
    hub.set_topics(slow, topics)
    reporter.report()
    for _ in range(3):
        hub.publish("0B:000001", 1, b'{"values":{},"type":"0B","name":"x","item":"000001"}')

    report = reporter.report()

    first, second = report.connections
    assert (first.name, second.name) == ("slow", "idle")
    assert first.queued_frames == len(slow.queue) > 0
    assert first.queued_bytes == slow.queue.size > 0
    assert (first.topics, len(first.named), first.address) == (12, 8, "203.0.113.9")
    assert (second.topics, second.queued_bytes, second.lag_s) == (0, 0, 0.0)
    rates = {topic.name: topic.rows_per_s for topic in report.topics}
    assert rates["0B:000001"]
    assert rates["0B:000002"] == 0
    assert report.topics_total == 12


@pytest.fixture(scope="module")
def webs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Web, Web]]:
    """Two web processes on one Redis and one database."""
    folder = tmp_path_factory.mktemp("webs")
    database = f"sqlite:///{folder / 'a' / 'shared.sqlite3'}"
    with (
        web_server(folder / "a", DATABASE_URL=database) as first,
        web_server(folder / "b", first.redis_url, DATABASE_URL=database) as second,
    ):
        yield first, second


@pytest.fixture
def bus(webs: tuple[Web, Web]) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(webs[0].redis_url) as client:
        yield client
        wait_until(lambda: not listed(client), 15, "the test's connections are gone")


def look(client: redis.Redis) -> list[FeedReport]:
    return watch(client, [feed.process for feed in read_feeds(client)])


def listed(client: redis.Redis) -> dict[str, Connection]:
    return {one.id: one for one in merge(look(client)).connections}


@pytest.fixture(scope="module")
def token(webs: tuple[Web, Web]) -> str:
    return webs[0].token(webs[0].feed_key("alice"))


async def joined(web: Web, token: str, *items: str) -> Feed:
    # No bound on what is not read: the library would stop reading, and its close would wait ten seconds.
    feed = Feed(await websockets.connect(web.ws, max_queue=None))
    await feed.login(token)
    if items:
        await feed.send(reg(*items))
        await feed.until("REG", return_code=0)
    return feed


@pytest.mark.slow
async def test_processes_report_only_while_somebody_watches(
    webs: tuple[Web, Web], bus: redis.Redis, token: str
) -> None:
    feeds = [await joined(webs[0], token, "005930"), await joined(webs[1], token, "005930", "000660")]
    Upstream(bus).status()
    name = keys.FEED_REPORT.format(process="*")
    bus.delete(keys.FEED_WATCHED)
    await asyncio.to_thread(wait_until, lambda: not list(bus.scan_iter(match=name)), 10, "reports end")

    await asyncio.to_thread(
        wait_until, lambda: len(listed(bus)) == 2 and merge(look(bus)).processes == 2, 10, "both report"
    )
    load = merge(look(bus))
    assert {one.name for one in load.connections} == {"alice"}
    assert {one.address for one in load.connections} == {"127.0.0.1"}
    assert sorted(one.topics for one in load.connections) == [1, 2]
    assert {one.name: one.subscribers for one in load.topics} == {"0B:005930": 2, "0B:000660": 1}

    def rate() -> float:
        Upstream(bus).publish(70_000, 70_100)
        return next(one.rows_per_s or 0.0 for one in merge(look(bus)).topics if one.name == "0B:005930")

    assert await asyncio.to_thread(wait_until, rate, 10, "rows a second")
    for feed in feeds:
        await feed.socket.close()


@pytest.mark.slow
@pytest.mark.parametrize(("may_return", "code"), [(True, 1012), (False, 4403)])
async def test_one_connection_is_ended_by_whichever_process_holds_it(
    webs: tuple[Web, Web], bus: redis.Redis, token: str, may_return: bool, code: int
) -> None:
    stays, goes = await joined(webs[0], token), await joined(webs[1], token, "005930")
    await asyncio.to_thread(wait_until, lambda: len(listed(bus)) == 2, 10, "both are listed")
    (target,) = (one for one in listed(bus).values() if one.topics == 1)
    request = Disconnect(
        connection=target.id, reason="점검 중입니다", may_return=may_return, reply="gateway:test-reply"
    )

    outcome = await asyncio.to_thread(request_disconnect, bus, target.process, request, 5)

    closed, reason = await goes.closed()
    assert (outcome, closed, reason["reason"]) == ("done", code, "점검 중입니다")
    assert ("retry_after" in reason) == may_return
    await asyncio.to_thread(wait_until, lambda: target.id not in listed(bus), 10, "it is gone")
    again = await asyncio.to_thread(request_disconnect, bus, target.process, request, 5)
    assert again == "gone"
    assert await asyncio.to_thread(request_disconnect, bus, "no such process", request, 5) == "gone"
    await stays.send(reg("000660"))
    assert (await stays.until("REG"))["return_code"] == 0
    await stays.socket.close()


@pytest.mark.slow
async def test_nonsense_on_the_channel_harms_nobody(
    webs: tuple[Web, Web], bus: redis.Redis, token: str
) -> None:
    feed = await joined(webs[0], token)
    await asyncio.to_thread(wait_until, lambda: listed(bus), 10, "it is listed")
    (target,) = listed(bus).values()
    channel = keys.DISCONNECT_CHANNEL.format(process=target.process)

    for data in (b"", b"{}", b"[]", b'{"connection": 1}', b"\xff", b"null"):
        assert bus.publish(channel, data) == 1
    await feed.send(reg("000660"))

    assert (await feed.until("REG"))["return_code"] == 0
    assert "Traceback" not in webs[0].log.split("Unreadable message")[0]
    await feed.socket.close()
