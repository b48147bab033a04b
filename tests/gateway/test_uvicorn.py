"""The application under uvicorn (websockets-sansio): nobody is bound to our server."""

from __future__ import annotations

import asyncio
import time

import psutil
import pytest
import redis
import websockets

from tests.conditions import wait_until
from tests.gateway.feed_world import Feed, Upstream, Web, prices, reg, row, running

UVICORN = (
    *("-m", "uvicorn", "portal.asgi:application", "--host", "127.0.0.1", "--port", "{port}"),
    *("--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--lifespan", "off"),
)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uvicorn")
    env = {"FEED_PING_INTERVAL": "1", "FEED_SLOW_AFTER": "2"}
    with running(Web(folder, "", env, command=UVICORN)) as web:
        yield web


@pytest.fixture(scope="module")
def upstream(web):
    with redis.Redis.from_url(web.redis_url) as client:
        yield Upstream(client)


@pytest.fixture(scope="module")
def token(web):
    return web.token(web.feed_key("alice"))


async def registered(web, token, item):
    """Return a client that wants ``item``."""
    feed = Feed(await websockets.connect(web.ws))
    assert (await feed.login(token))["return_code"] == 0
    await feed.send(reg(item))
    assert (await feed.until("REG"))["return_code"] == 0
    return feed


async def test_login_registration_rows_in_order_and_ping(web, upstream, token):
    upstream.status()
    feed = await registered(web, token, "005930")
    await asyncio.to_thread(wait_until, lambda: upstream.publish(1) > 0)
    for price in range(2, 300):
        upstream.publish(price)
    got: list[int] = []
    while not got or got[-1] != 299:
        got += prices(await feed.until("REAL"))
    assert [price for price in got if price > 1] == list(range(2, 300))
    async with asyncio.timeout(3):
        while '"PING"' not in str(await feed.socket.recv()):
            pass
    await feed.socket.close()
    await asyncio.to_thread(wait_until, lambda: "0B:005930" not in upstream.wanted(), 5)


async def test_closes_carry_their_code_and_reason(web):
    feed = Feed(await websockets.connect(web.ws))
    assert (await feed.login("wrong"))["return_code"] == 805004
    code, reason = await feed.closed()
    assert code == 4401
    assert reason == {"reason": "the login was refused"}


async def test_a_client_that_stops_reading_is_bounded_and_closed_while_another_gets_every_row(
    web, upstream, token
):
    quick = await registered(web, token, "105560")
    slow = await registered(web, token, "105560")
    slow.socket.transport.pause_reading()
    await asyncio.to_thread(wait_until, lambda: upstream.publish(1, item="105560") > 0)
    process = psutil.Process(web.process.pid)
    before = process.memory_info().rss

    def flood():
        pipe = upstream.client.pipeline(transaction=False)
        rows = b"1|" + b",".join([row(2, "105560")] * 50)
        deadline = time.monotonic() + 6
        count = 0
        while time.monotonic() < deadline:
            for _ in range(20):
                pipe.publish("gateway:rows:0B:105560", rows)
            pipe.execute()
            count += 1000
            time.sleep(0.02)
        upstream.publish(999, item="105560")
        return count

    flooding = asyncio.create_task(asyncio.to_thread(flood))
    got = 0
    while True:
        frame = await quick.until("REAL", within=15)
        got += len(frame["data"])
        if prices(frame)[-1] == 999:
            break
    assert got >= await flooding
    assert process.memory_info().rss - before < 40 * 1024 * 1024
    await asyncio.to_thread(wait_until, lambda: upstream.feed().closes.get("4408"), 10)
    slow.socket.transport.abort()
    await quick.socket.close()
