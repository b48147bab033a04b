"""Each limit of ``/ws`` hit on the real web server: close code, reason, and when to come back."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager

import httpx
import pytest
import redis
import websockets

from gateway.config import FeedConfig
from tests.conditions import wait_until
from tests.gateway.feed_world import Feed, Upstream, Web, prices, reg, web_server
from tests.services import stop

PROXY = {"TRUSTED_PROXIES": "127.0.0.1"}
NARROW = {
    **PROXY,
    "FEED_CONNECT_RATE": "1000",
    "FEED_MAX_CONNECTIONS": "4",
    "FEED_MAX_CONNECTIONS_PER_ADDRESS": "2",
    "FEED_MAX_CONNECTIONS_PER_KEY": "3",
    "FEED_MAX_TOPICS": "3",
    "FEED_LOGIN_TIMEOUT": "1",
    "FEED_MAX_MESSAGES_PER_SECOND": "20",
}


@contextmanager
def beside(web, **env):
    """Run another web process on the same database and Redis."""
    folder = web.folder / f"beside-{len(list(web.folder.iterdir()))}"
    folder.mkdir()
    other = Web(folder, web.redis_url, {**env, "DATA_DIR": str(web.folder)})
    try:
        other.start()
        yield other
    finally:
        if other.process is not None and other.process.poll() is None:
            stop(other.process, 10)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    with web_server(tmp_path_factory.mktemp("web"), **NARROW) as web:
        yield web


@pytest.fixture(scope="module")
def pair(narrow):
    return narrow.feed_key("alice")


@pytest.fixture
async def connect(narrow):
    """Open connections that are closed after the test; the server frees their places with the socket."""
    opened = []

    async def open_one(address="198.51.100.1", web=narrow):
        headers = {"X-Forwarded-For": address}
        opened.append(await websockets.connect(web.ws, additional_headers=headers))
        return Feed(opened[-1])

    yield open_one
    for socket in opened:
        await socket.close()
    # The server answers one thing after the other: with this answer it has seen the closes.
    await asyncio.to_thread(httpx.get, f"{narrow.url}/health", timeout=10)


def test_the_limits_are_those_of_the_contract():
    config = FeedConfig()
    assert (config.max_connections_per_key, config.max_connections_per_address) == (5, 20)
    assert (config.max_connections, config.connect_rate, config.login_timeout) == (2000, 50, 10)
    assert (config.max_topics, config.max_message_bytes, config.max_messages_per_second) == (200, 16384, 20)
    assert (config.queue_frames, config.queue_bytes, config.slow_after) == (256, 1024 * 1024, 5)
    assert (config.memory_shed_ratio, config.drain_timeout, config.flush_ms) == (0.85, 30, 5)


async def test_an_address_behind_the_proxy_has_its_own_places(connect):
    for address in ("198.51.100.1", "198.51.100.1", "198.51.100.2"):
        await connect(address)
    code, reason = await (await connect("198.51.100.1")).closed()
    assert code == 4429
    assert "address" in reason["reason"]
    assert reason["retry_after"] > 0


async def test_a_full_process_says_try_later(connect):
    for number in range(4):
        await connect(f"198.51.100.{number}")
    code, reason = await (await connect("198.51.100.9")).closed()
    assert code == 1013
    assert reason == {"reason": "the server is full", "retry_after": 30.0}


async def test_a_key_has_its_own_places_whatever_the_addresses(connect, narrow, pair):
    token = narrow.token(pair)
    for number in range(3):
        feed = await connect(f"198.51.100.{number}")
        assert (await feed.login(token))["return_code"] == 0
    extra = await connect("198.51.100.9")
    await extra.send({"trnm": "LOGIN", "token": token})
    code, reason = await extra.closed()
    assert code == 4429
    assert "key" in reason["reason"]
    assert reason["retry_after"] > 0


async def test_who_does_not_log_in_in_time_is_closed(connect):
    started = time.monotonic()
    code, reason = await (await connect()).closed()
    assert code == 4401
    assert reason == {"reason": "no LOGIN within 1 seconds"}
    assert 0.9 < time.monotonic() - started < 3


async def test_one_item_too_many_is_105115_and_the_connection_stays(connect, narrow, pair):
    feed = await connect()
    await feed.login(narrow.token(pair))
    await feed.send(reg("000001", "000002", "000003"))
    assert (await feed.until("REG"))["return_code"] == 0
    await feed.send(reg("000001", "000002", "000003", kind="0D"))
    assert (await feed.until("REG"))["return_code"] == 0
    await feed.send(reg("000004"))
    assert (await feed.until("REG"))["return_code"] == 105115
    await feed.send(reg("000004", refresh="0"))
    assert (await feed.until("REG"))["return_code"] == 0


async def test_what_a_key_may_register_changes_while_it_is_connected(connect, narrow):
    alice = narrow.feed_key("rights")
    feed = await connect()
    await feed.login(narrow.token(alice))
    await feed.send(reg("005930", "000660"))
    await feed.until("REG")
    with redis.Redis.from_url(narrow.redis_url) as client:
        upstream = Upstream(client)
        await asyncio.to_thread(wait_until, lambda: upstream.publish(1, item="000660") > 0)
        await asyncio.to_thread(
            narrow.manage,
            "shell",
            "-c",
            "from gateway import keys; from gateway.feed_store import sync_client\n"
            "from gateway.models import FeedKey\n"
            "key = FeedKey.objects.get(name='rights')\n"
            "key.types, key.items = ['0B'], ['005930']\n"
            "key.save()\n"
            "sync_client().publish(keys.KEYS_CHANNEL, key.pk)",
        )
        told = await feed.until("SYSTEM", code="B1009")
        assert told["topics"] == ["0B:000660"]
        upstream.publish(2, item="000660")
        upstream.publish(3, item="005930")
        assert prices(await feed.until("REAL")) == [3]
    await feed.send(reg("005930", kind="0D"))
    assert (await feed.until("REG"))["return_code"] == 900403
    await feed.send(reg("000660"))
    assert (await feed.until("REG"))["return_code"] == 900403


@pytest.fixture(scope="module")
def hasty(narrow):
    """A web process that takes three connections a second and issues tokens for two seconds."""
    with beside(narrow, FEED_CONNECT_RATE="3", FEED_TOKEN_LIFETIME="2", FEED_PING_INTERVAL="60") as web:
        yield web


async def test_too_many_new_connections_at_once_are_told_to_come_later(hasty, connect):
    feeds = [await connect(web=hasty) for _ in range(5)]
    ends = await asyncio.gather(*(feed.closed(3) for feed in feeds[3:]))
    assert {code for code, _ in ends} == {1013}
    assert all(reason["retry_after"] > 0 for _, reason in ends)


async def test_an_expired_token_ends_its_connection(hasty, connect):
    pair = hasty.feed_key("short")
    token = hasty.token(pair)
    feed = await connect(web=hasty)
    assert (await feed.login(token))["return_code"] == 0
    code, reason = await feed.closed(6)
    assert code == 4401
    assert reason == {"reason": "the token expired"}
    again = await connect(web=hasty)
    assert (await again.login(token))["return_code"] == 805004


async def test_short_of_memory_new_clients_are_sent_away_and_http_goes_on(narrow):
    with beside(narrow, FEED_MEMORY_LIMIT="1000000") as web:
        code, reason = await Feed(await websockets.connect(web.ws)).closed()
        assert code == 1013
        assert reason == {"reason": "short of memory", "retry_after": 30.0}
        assert web.ask_token("a", "b").json()["return_code"] == 3
        assert web.log.count("turned away") == 1
