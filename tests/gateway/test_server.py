"""``/ws`` on the real web server process: the protocol, bad input, and a client that does not read."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import psutil
import pytest
import redis
import websockets

from gateway.status import FeedState
from tests.conditions import wait_until
from tests.gateway.feed_world import ROOT, Feed, Upstream, Web, prices, reg, row, stopped_reader, web_server
from tests.services import free_port, start_valkey, stop


@dataclass
class World:
    """One server for the whole module, and what tests need of it."""

    web: Web
    upstream: Upstream
    token: str
    pair: dict[str, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_server(tmp_path_factory.mktemp("web"), FEED_CONNECT_RATE="1000") as web:
        pair = web.feed_key("alice")
        client = redis.Redis.from_url(web.redis_url)
        yield World(web, Upstream(client), web.token(pair), pair)
        client.close()


async def connect(world, **options):
    return Feed(await websockets.connect(world.web.ws, **options))


async def logged_in(world, **fields):
    feed = await connect(world)
    assert (await feed.login(world.token, **fields))["return_code"] == 0
    return feed


async def test_login_reply_is_the_first_frame_with_an_int_code_and_sor_yn(world):
    feed = await connect(world)
    assert await feed.login(world.token) == {
        "trnm": "LOGIN",
        "return_code": 0,
        "return_msg": "",
        "sor_yn": "Y",
    }
    await feed.socket.close()


async def test_frames_sent_before_the_login_reply_are_answered_after_it(world):
    world.upstream.status()
    world.upstream.last(61100)
    feed = await connect(world)
    await feed.send(reg("005930"))
    await feed.send({"trnm": "LOGIN", "token": world.token})
    await feed.send(reg("000660"))
    trnms = [(await feed.receive())["trnm"] for _ in range(4)]
    assert trnms[0] == "LOGIN"
    assert trnms.count("REG") == 2
    assert trnms.count("REAL") == 1
    await feed.socket.close()


@pytest.mark.parametrize("path", ["/ws", "/api/dostk/websocket", "/ws/api/dostk/websocket"])
async def test_the_feed_answers_on_every_path_that_kiwooms_clients_use(world, path):
    async with websockets.connect(f"ws://127.0.0.1:{world.web.port}{path}") as socket:
        assert (await Feed(socket).login(world.token))["return_code"] == 0


async def test_rows_flow_in_order_from_the_bus_to_the_client(world):
    feed = await logged_in(world)
    await feed.send(reg("005930"))
    await feed.until("REG")
    await asyncio.to_thread(wait_until, lambda: world.upstream.publish(1) > 0)
    sent = list(range(2, 500))
    got: list[int] = []
    for price in sent:
        world.upstream.publish(price)
    while not got or got[-1] != 499:
        got += prices(await feed.until("REAL"))
    assert [price for price in got if price > 1 and price < 500] == sent
    await feed.socket.close()


async def test_the_gateway_is_told_what_is_wanted_and_when_it_no_longer_is(world):
    feed = await logged_in(world)
    await feed.send(reg("035420", kind="0D"))
    await asyncio.to_thread(wait_until, lambda: "0D:035420" in world.upstream.wanted(), 2)
    await feed.socket.close()
    await asyncio.to_thread(wait_until, lambda: "0D:035420" not in world.upstream.wanted(), 2)


async def test_remove_is_answered_and_ends_the_rows(world):
    feed = await logged_in(world)
    await feed.send(reg("068270"))
    await feed.until("REG")
    await asyncio.to_thread(wait_until, lambda: world.upstream.publish(5, item="068270") > 0)
    await feed.until("REAL")
    await feed.send(reg("068270", trnm="REMOVE"))
    answer = await feed.until("REMOVE")
    assert answer == {"trnm": "REMOVE", "return_code": 0, "return_msg": ""}
    world.upstream.publish(6, item="068270")
    await feed.send({"trnm": "FOO"})
    assert (await feed.receive())["trnm"] == "FOO"
    await feed.socket.close()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nonsense", 100002),
        ("[1,2]", 100002),
        ('{"trnm":"FOO"}', 105108),
        ('{"trnm":"REG"}', 100002),
        ('{"trnm":"REG","data":"x"}', 100002),
        (reg("", kind="00"), 900403),
        (reg("", kind="04"), 900403),
        ('{"trnm":"CNSRLST"}', 900403),
        (reg(*(f"{number:06}" for number in range(201))), 105115),
    ],
)
async def test_a_bad_frame_gets_an_error_and_the_connection_lives_on(world, frame, code):
    feed = await logged_in(world)
    await feed.send(frame)
    answer = await feed.receive()
    assert answer["return_code"] == code
    assert answer["return_msg"]
    await feed.send(reg("005930"))
    assert (await feed.until("REG"))["return_code"] == 0
    await feed.socket.close()


async def test_odd_frames_are_ignored(world):
    feed = await logged_in(world)
    for frame in ('{"trnm":"PING"}', '{"trnm": "PING", "x": 1}', '{"trnm":"PONG"}', '{"trnm":"SYSTEM"}'):
        await feed.send(frame)
    await feed.send(reg("005930"))
    assert (await feed.receive())["trnm"] == "REG"
    await feed.socket.close()


@pytest.mark.parametrize("size", [17_000, 1024 * 1024])
async def test_an_oversized_frame_closes_with_1009_and_a_reason(world, size):
    feed = await logged_in(world)
    await feed.send("x" * size)
    code, reason = await feed.closed()
    assert code == 1009
    assert "16384" in reason["reason"]


async def test_ten_thousand_items_close_with_1009(world):
    feed = await logged_in(world)
    await feed.send(reg(*(f"{number:06}" for number in range(10_000))))
    assert (await feed.closed())[0] == 1009


async def test_a_binary_frame_closes_with_1003_and_a_reason(world):
    feed = await logged_in(world)
    await feed.socket.send(b"\x00\x01")
    code, reason = await feed.closed()
    assert code == 1003
    assert "binary" in reason["reason"]


async def test_a_flood_of_messages_closes_with_4429_and_a_time_to_come_back(world):
    feed = await logged_in(world)
    for _ in range(300):
        await feed.send('{"trnm":"PONG"}')
    code, reason = await feed.closed()
    assert code == 4429
    assert reason["retry_after"] > 0


@pytest.mark.parametrize("token", ["wrong", "ticket-wrong", "x" * 5000])
async def test_a_wrong_token_is_refused_as_kiwoom_does_and_closed_with_4401(world, token):
    feed = await connect(world)
    answer = await feed.login(token)
    assert answer["return_code"] == 805004
    assert "CODE=8005" in answer["return_msg"]
    assert (await feed.closed())[0] == 4401


async def test_a_login_without_token_is_refused(world):
    feed = await connect(world)
    await feed.send({"trnm": "LOGIN"})
    assert (await feed.receive())["return_code"] == 805002
    assert (await feed.closed())[0] == 4401


async def test_the_sixth_connection_of_a_key_closes_with_4429(world):
    feeds = [await logged_in(world) for _ in range(5)]
    extra = await connect(world)
    await extra.send({"trnm": "LOGIN", "token": world.token})
    code, reason = await extra.closed()
    assert code == 4429
    assert reason["retry_after"] > 0
    for feed in feeds:
        await feed.socket.close()


async def test_a_revoked_key_is_cut_within_two_seconds_and_cannot_return(world):
    pair = world.web.feed_key("mallory")
    token = world.web.token(pair)
    feed = await connect(world)
    assert (await feed.login(token))["return_code"] == 0
    await asyncio.to_thread(world.web.manage, "feedkey", "revoke", "--name", "mallory")
    assert (await feed.closed(2))[0] == 4401
    again = await connect(world)
    assert (await again.login(token))["return_code"] == 805004
    assert world.web.ask_token(pair["app_key"], pair["secret_key"]).json()["return_code"] == 3


async def test_the_feeds_state_is_told_as_it_changes(world):
    world.upstream.status()
    feed = await logged_in(world, status=True)
    await feed.send(reg("005930"))
    assert (await feed.until("SYSTEM", code="B1001"))["message"] == "live"
    world.upstream.status(FeedState.RECONNECTING, next_retry_s=8.0, attempts=2)
    told = await feed.until("SYSTEM", code="B1002")
    assert 6 < told["retry_in_s"] <= 8
    assert told["attempts"] == 2
    world.upstream.status()
    await feed.until("SYSTEM", code="B1001")
    await feed.socket.close()


@pytest.mark.slow
async def test_a_gateway_that_falls_silent_is_not_live(world):
    world.upstream.status(ttl=1)
    feed = await logged_in(world)
    await feed.send(reg("005930"))
    told = await feed.until("SYSTEM", within=20, code="B1002")
    assert told["as_of"].endswith("+09:00")
    await feed.socket.close()


async def test_a_client_that_stops_reading_is_bounded_and_closed_while_others_get_every_row(world):
    quick = await logged_in(world)
    await quick.send(reg("105560"))
    await quick.until("REG")
    stopped = await asyncio.to_thread(stopped_reader, world.web.port, world.token, "105560")
    await asyncio.to_thread(wait_until, lambda: world.upstream.publish(1, item="105560") > 0)
    process = psutil.Process(world.web.process.pid)
    before = process.memory_info().rss

    def flood():
        pipe = world.upstream.client.pipeline(transaction=False)
        channel, rows = "gateway:rows:0B:105560", b",".join([row(2, "105560")] * 50)
        deadline = time.monotonic() + 9
        count = 0
        while time.monotonic() < deadline:
            for _ in range(20):
                pipe.publish(channel, b"1|" + rows)
            pipe.execute()
            count += 1000
            time.sleep(0.02)
        world.upstream.publish(999, item="105560")
        return count

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    got = 0
    while True:
        frame = await quick.until("REAL", within=15)
        got += len(frame["data"])
        if prices(frame)[-1] == 999:
            break
    count = await flooding
    assert got >= count
    assert process.memory_info().rss - before < 40 * 1024 * 1024
    await asyncio.to_thread(wait_until, lambda: world.upstream.feed().closes.get("4408"), 10)
    assert world.upstream.feed().dropped > 0
    stopped.close()
    await quick.socket.close()


def keep_publishing(port, ended):
    """Publish rows as fast as one connection does, to whatever Redis is there, until ``ended`` is set."""
    with redis.Redis(port=port) as client:
        rows = b"1|" + b",".join([row(5)] * 20)
        while not ended.is_set():
            try:
                client.publish("gateway:rows:0B:005930", rows)
            except redis.ConnectionError:
                ended.wait(0.05)


async def test_redis_may_be_killed_and_return_under_load_without_a_client_leaving(tmp_path):
    port = free_port()
    valkey = start_valkey(tmp_path, port)
    ended = threading.Event()
    load = asyncio.create_task(asyncio.to_thread(keep_publishing, port, ended))
    try:
        with web_server(tmp_path / "web", f"redis://127.0.0.1:{port}/0") as web:
            token = web.token(web.feed_key("alice"))
            with redis.Redis(port=port) as client:
                Upstream(client).status()
            async with websockets.connect(web.ws) as socket:
                feed = Feed(socket)
                await feed.login(token, status=True)
                await feed.send(reg("005930"))
                await feed.until("SYSTEM", code="B1001")
                await feed.until("REAL")
                valkey.kill()
                valkey.wait()
                assert (await feed.until("SYSTEM", code="B1002"))["cause"] == "bus"
                await feed.send(reg("000660"))
                assert (await feed.until("REG"))["return_code"] == 0
                async with websockets.connect(web.ws) as other:
                    stranger = Feed(other)
                    await stranger.send({"trnm": "LOGIN", "token": token})
                    code, reason = await stranger.closed()
                    assert code == 1013
                    assert reason["retry_after"] > 0
                assert web.ask_token("a", "b").status_code == 503
                valkey = start_valkey(tmp_path, port)
                with redis.Redis(port=port) as client:
                    upstream = Upstream(client)
                    await asyncio.to_thread(
                        wait_until, lambda: {"0B:005930", "0B:000660"} <= upstream.wanted(), 15
                    )
                    upstream.status()
                    await feed.until("SYSTEM", within=15, code="B1001")
                    upstream.publish(7, item="000660")
                    seen: list[int] = []
                    while not {5, 7} <= set(seen):
                        seen += prices(await feed.until("REAL"))
            assert web.process is not None
            assert web.process.poll() is None
            assert "Traceback" not in web.log
    finally:
        ended.set()
        await load
        stop(valkey)


async def test_sigterm_sends_everybody_away_with_1012_and_different_times(tmp_path):
    with web_server(tmp_path / "web") as web:
        token = web.token(web.feed_key("alice"))
        feeds = [Feed(await websockets.connect(web.ws)) for _ in range(4)]
        for feed in feeds[1:]:  # the first has not logged in yet
            await feed.login(token)
        ending = asyncio.create_task(asyncio.to_thread(web.terminate))
        ends = [await feed.closed() for feed in feeds]
        assert {code for code, _ in ends} == {1012}
        assert len({reason["retry_after"] for _, reason in ends}) > 1
        assert await ending == 0
        with redis.Redis.from_url(web.redis_url) as client:
            assert list(client.scan_iter("gateway:wanted:*")) == []
        assert "Traceback" not in web.log


def test_a_taken_port_is_told_in_one_line(tmp_path, world):
    web = Web(tmp_path, world.web.redis_url, port=world.web.port)
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=web.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert str(world.web.port) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
