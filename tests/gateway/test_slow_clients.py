"""What clients cost: idle ones, and many that stop reading, who disturb nobody and are sent away."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis
import websockets

from tests.conditions import wait_until
from tests.gateway.feed_world import Feed, Upstream, prices, reg, row, stopped_reader, web_server

pytestmark = pytest.mark.timed
STOPPED = 30
#: Twice FEED_SEND_BUFFER for each, and no more than one segment over it.
KERNEL = STOPPED * (2 * 256 + 64) * 1024
#: docs/gateway.md: a frame on its way and the newest row for each, and one queue for all that have the same
#: topics, each frame as text and as sent.
FORMULA = STOPPED * (64 + 1) * 1024 + 2 * 1024 * 1024
#: What the process needs for its work: buffers of the bus, 30 connections.
SLACK = 12 * 1024 * 1024
LIMITS = {
    "FEED_CONNECT_RATE": "1000",
    "FEED_MAX_CONNECTIONS_PER_KEY": "1000",
    "FEED_MAX_CONNECTIONS_PER_ADDRESS": "1000",
    "FEED_SLOW_AFTER": "2",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with web_server(tmp_path_factory.mktemp("web"), **LIMITS) as web:
        yield web


def test_an_idle_connection_costs_at_most_32_kib(web):
    token = web.token(web.feed_key("idle"))
    process = psutil.Process(web.process.pid)
    with ExitStack() as sockets:

        def connect(count):
            for _ in range(count):
                sock = sockets.enter_context(stopped_reader(web.port, token, "000660"))
                answers = b""
                while b'"REG"' not in answers:
                    answers += sock.recv(4096)

        with redis.Redis.from_url(web.redis_url) as client:
            upstream = Upstream(client)
            connect(300)  # what the first connections need once: imports, threads, caches
            wait_until(lambda: upstream.feed().connections == 300, 20)
            before = process.memory_info().rss
            connect(500)
            wait_until(lambda: upstream.feed().connections == 800, 20)
            each = (process.memory_info().rss - before) / 500
    assert each <= 32 * 1024


def waiting_in_kernel(port):
    """Bytes that the kernel holds for the clients of ``port``, which have not read them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[4].split(":")[0], 16) for line in lines if int(line[1].split(":")[1], 16) == port)


async def delays(feed, upstream, count):
    """Publish ``count`` rows one by one and return the seconds that each took to arrive, sorted."""
    taken = []
    for price in range(1, count + 1):
        started = time.monotonic()
        await asyncio.to_thread(upstream.publish, price, item="000660")
        while prices(await feed.until("REAL"))[-1] != price:
            pass
        taken.append(time.monotonic() - started)
    return sorted(taken)


async def test_clients_that_stop_reading_cost_what_is_documented_and_disturb_nobody(web):
    token = web.token(web.feed_key("alice"))
    with redis.Redis.from_url(web.redis_url) as client:
        upstream = Upstream(client)
        quick = Feed(await websockets.connect(web.ws))
        await quick.login(token)
        await quick.send(reg("000660"))
        await quick.until("REG")
        await asyncio.to_thread(wait_until, lambda: upstream.publish(0, item="000660") > 0)
        while 0 not in prices(await quick.until("REAL")):
            pass
        calm = await delays(quick, upstream, 200)
        stopped = [await asyncio.to_thread(stopped_reader, web.port, token, "105560") for _ in range(STOPPED)]
        await asyncio.to_thread(wait_until, lambda: upstream.publish(1, item="105560") > 0)
        await asyncio.to_thread(wait_until, lambda: upstream.feed().connections == STOPPED + 1, 20)
        process = psutil.Process(web.process.pid)
        before = process.memory_info().rss
        most = held = 0
        rows = b"1|" + b",".join([row(2, "105560")] * 200)
        ended = asyncio.Event()

        def flood():
            nonlocal most, held
            with redis.Redis.from_url(web.redis_url) as other:
                while not ended.is_set():
                    other.publish("gateway:rows:0B:105560", rows)
                    most = max(most, process.memory_info().rss)
                    held = max(held, waiting_in_kernel(web.port))
                    time.sleep(0.002)

        flooding = asyncio.create_task(asyncio.to_thread(flood))
        under_load = await delays(quick, upstream, 200)
        await asyncio.to_thread(wait_until, lambda: (upstream.feed().closes or {}).get("4408") == STOPPED, 20)
        ended.set()
        await flooding
        assert upstream.feed().dropped > 0
    assert most - before < FORMULA + SLACK
    assert 0 < held < KERNEL
    assert under_load[100] < calm[100] * 1.2 + 0.02
    for sock in stopped:
        sock.close()
    await quick.socket.close()
