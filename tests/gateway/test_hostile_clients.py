"""Clients that mean harm, on the real web server process: each costs a bounded amount of memory and time."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
import redis
import websockets

from tests.conditions import wait_until
from tests.gateway.feed_world import Feed, Upstream, Web, prices, reg, web_server

pytestmark = pytest.mark.timed
MIB = 1024 * 1024


@dataclass
class World:
    """One server for the whole module, and what tests need of it."""

    web: Web
    upstream: Upstream
    token: str

    @property
    def memory(self) -> int:
        """Resident bytes of the server."""
        assert self.web.process is not None
        return int(psutil.Process(self.web.process.pid).memory_info().rss)

    @property
    def seconds(self) -> float:
        """CPU seconds that the server has used."""
        assert self.web.process is not None
        times = psutil.Process(self.web.process.pid).cpu_times()
        return float(times.user + times.system)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with web_server(tmp_path_factory.mktemp("web"), FEED_CONNECT_RATE="1000", FEED_LOGIN_TIMEOUT="60") as web:
        client = redis.Redis.from_url(web.redis_url)
        yield World(web, Upstream(client), web.token(web.feed_key("alice")))
        client.close()


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a client's frame, masked with zeros."""
    head = bytes([0x80 | opcode])
    if len(payload) < 126:
        return head + bytes([0x80 | len(payload)]) + b"\0\0\0\0" + payload
    return head + b"\xfe" + len(payload).to_bytes(2, "big") + b"\0\0\0\0" + payload


def plain_socket(port: int) -> socket.socket:
    """Return a connection to ``/ws`` on which nothing is read or answered by a library."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    sock.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b"101" in sock.recv(4096)
    return sock


async def test_a_client_that_pings_without_reading_does_not_grow_the_server(world):
    before = world.memory

    def flood():
        pings = frame(b"x" * 125, opcode=9) * 500
        with plain_socket(world.web.port) as sock:
            sock.settimeout(20)
            for _ in range(30 * MIB // len(pings)):
                sock.sendall(pings)
            return world.memory

    assert await asyncio.to_thread(flood) - before < 12 * MIB


async def test_a_registration_of_every_item_with_every_type_costs_little(world):
    names = [f"{number:03x}" for number in range(1150)]
    async with websockets.connect(world.web.ws) as socket:
        feed = Feed(socket)
        await feed.login(world.token)
        before, began = world.memory, world.seconds
        answers = []
        for trnm in ("REG", "REMOVE"):
            await feed.send({"trnm": trnm, "grp_no": "1", "data": [{"item": names, "type": names}]})
            answers.append((await feed.receive(30))["return_code"])
        assert world.memory - before < 40 * MIB
        assert world.seconds - began < 0.5
        assert answers == [105115, 105115]


async def test_frames_held_before_the_login_cost_little_memory(world):
    before = world.memory
    nested = b'{"trnm":"REG","data":[' + b",".join([b"{}"] * 5000) + b"]}"
    sockets = [plain_socket(world.web.port) for _ in range(15)]
    for sock in sockets:
        for _ in range(65):
            await asyncio.to_thread(sock.sendall, frame(nested))
    for sock in sockets:
        assert b"100013" in await asyncio.to_thread(sock.recv, 4096)
    assert world.memory - before < 60 * MIB
    for sock in sockets:
        sock.close()


async def test_a_burst_that_waits_for_a_slow_login_costs_no_processor(world):
    with plain_socket(world.web.port) as sock:
        world.upstream.client.execute_command("CLIENT", "PAUSE", "2000", "ALL")
        before = world.seconds
        login = frame(json.dumps({"trnm": "LOGIN", "token": world.token}).encode())
        await asyncio.to_thread(sock.sendall, login + frame(b"{}") * 8000)
        assert b"LOGIN" in await asyncio.to_thread(sock.recv, 4096)
        assert world.seconds - before < 0.6


async def test_a_frame_of_nothing_but_mistakes_costs_little(world):
    async with websockets.connect(world.web.ws) as socket:
        feed = Feed(socket)
        await feed.login(world.token)
        began = world.seconds
        wrong: list[Any] = [[{}] * 5000, [{"item": [{}] * 5000, "type": ["0B"]}]]
        for data in wrong:
            for _ in range(10):
                await feed.send(json.dumps({"trnm": "REG", "data": data}, separators=(",", ":")))
                assert (await feed.receive())["return_code"] == 100002
        assert world.seconds - began < 0.3


async def test_registering_again_at_once_brings_the_last_value_again(world):
    world.upstream.last(61100, "373220")
    async with websockets.connect(world.web.ws) as socket:
        feed = Feed(socket)
        await feed.login(world.token)
        await feed.send(reg("373220"))
        assert prices(await feed.until("REAL")) == [61100]
        for _ in range(10):
            await feed.send(reg("373220", trnm="REMOVE"))
            await feed.send(reg("373220"))
            assert prices(await feed.until("REAL", within=3)) == [61100]


async def test_ten_thousand_items_in_many_frames_are_refused_above_the_limit(world):
    codes = [f"{number:06}" for number in range(10_000)]
    async with websockets.connect(world.web.ws) as socket:
        feed = Feed(socket)
        await feed.login(world.token)
        answers = []
        for start in range(0, 10_000, 100):
            await feed.send(reg(*codes[start : start + 100]))
            answers.append((await feed.until("REG"))["return_code"])
        assert answers == [0, 0, *[105115] * 98]
        await asyncio.to_thread(wait_until, lambda: len(world.upstream.wanted()) >= 200)
        assert len(world.upstream.wanted()) < 300
