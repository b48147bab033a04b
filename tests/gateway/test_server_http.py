"""HTTP under FeedServer is byte for byte what plain Daphne serves; WebSocket bytes keep their order."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
import websockets

from tests.conditions import wait_until
from tests.gateway.feed_world import ROOT
from tests.servers import listens
from tests.services import free_port, stop

LARGE = 8 * 1024 * 1024  # as in asgi_servers, which cannot be imported without its reactor
HOST = b"Host: localhost\r\n"
REQUESTS = {
    "get": b"GET /test/echo?a=1&b=%%20 HTTP/1.1\r\n%sX-One: 1\r\nX-One: 2\r\n\r\n",
    "post": b"POST /test/echo HTTP/1.1\r\n%sContent-Length: 11\r\n\r\nhello world",
    "chunked": b"POST /test/echo HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "head": b"HEAD /test/echo HTTP/1.1\r\n%s\r\n",
    "http 1.0": b"GET /test/echo HTTP/1.0\r\n%s\r\n",
    "health": b"GET /health HTTP/1.1\r\n%s\r\n",
    "static": b"GET /static/portal/icon.svg HTTP/1.1\r\n%s\r\n",
    "not modified": b"GET /static/portal/icon.svg HTTP/1.1\r\n%s"
    b"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n\r\n",
    "missing": b"GET /static/nothing.css HTTP/1.1\r\n%s\r\n",
    "not found": b"GET /nothing HTTP/1.1\r\n%s\r\n",
    "method": b"DELETE /health HTTP/1.1\r\n%s\r\n",
    "token": b"POST /oauth2/token HTTP/1.1\r\n%sContent-Length: 2\r\n\r\n{}",
    "bad header": b"GET /test/echo HTTP/1.1\r\n%sX Y: 1\r\n\r\n",
    "nonsense": b"NONSENSE\r\n%s\r\n",
    "pipelined": b"GET /test/echo?1 HTTP/1.1\r\n%s\r\nGET /test/echo?2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@contextmanager
def serving(kind, folder):
    """Run one of the two servers; yields its port."""
    port = free_port()
    folder.mkdir()
    environment = os.environ | {"DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "tests.gateway.asgi_servers", kind, str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens(port), 20, "the server listens")
        yield port
    finally:
        stop(process)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with serving("plain", tmp_path_factory.mktemp("http") / "plain") as port:
        yield port


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with serving("feed", tmp_path_factory.mktemp("http") / "feed") as port:
        yield port


def exchange(port, request):
    """Send ``request``, close our half, and return all that comes back, without the date."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(request)
        sock.settimeout(5.0)  # for the first part, on a busy machine
        answer = b""
        try:
            while part := sock.recv(65536):
                answer += part
                sock.settimeout(0.5)
        except TimeoutError:
            pass
    return re.sub(rb"Date: [^\r]+", b"Date: now", answer)


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_is_the_same_byte_for_byte(plain, ours, name):
    request = REQUESTS[name] % HOST
    expected = exchange(plain, request)
    assert expected.startswith(b"HTTP/1.") or name == "nonsense"
    assert exchange(ours, request) == expected


def test_a_connection_is_kept_alive(plain, ours):
    for port in (plain, ours):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            for number in range(3):
                sock.sendall(b"GET /test/echo?%d HTTP/1.1\r\n%s\r\n" % (number, HOST))
                answer = b""
                while not answer.endswith(b"0\r\n\r\n"):
                    answer += sock.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200")


def test_a_slow_reader_gets_a_large_answer_whole(plain, ours):
    answers = []
    for port in (plain, ours):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.connect(("127.0.0.1", port))
            sock.settimeout(10)
            sock.sendall(b"GET /test/large HTTP/1.0\r\n%s\r\n" % HOST)
            answer, pause = bytearray(), time.monotonic() + 0.5
            while part := sock.recv(65536):
                answer += part
                if time.monotonic() < pause:
                    time.sleep(0.02)  # what makes the reader slow
        answers.append(re.sub(rb"Date: [^\r]+", b"Date: now", bytes(answer)))
    assert len(answers[0]) > LARGE
    assert answers[0] == answers[1]


def heard(port, who):
    """Whether the application heard that ``who`` left."""
    return who in httpx.get(f"http://localhost:{port}/test/gone").json()


def test_the_application_hears_of_a_client_that_left(plain, ours):
    for number, port in enumerate((plain, ours)):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /test/wait?%d HTTP/1.1\r\n%s\r\n" % (number, HOST))
            time.sleep(0.2)  # the request has to arrive; nothing tells that it did
        assert wait_until(partial(heard, port, str(number)), 5)


def told(port):
    """Return what the application counted."""
    return httpx.get(f"http://localhost:{port}/test/counts").json()


@pytest.mark.parametrize(("size", "count"), [(10, 3000), (60_000, 300), (300_000, 60)])
async def test_frames_of_the_sink_and_of_asgi_keep_one_order(ours, size, count):
    before = (await asyncio.to_thread(told, ours))["taken"]
    url = f"ws://127.0.0.1:{ours}/test/talk?size={size}&count={count}"
    async with websockets.connect(url, max_size=None) as socket_:
        assert socket_.response is not None
        assert "sec-websocket-extensions" not in socket_.response.headers
        await socket_.send("go")
        for number in range(count):
            async with asyncio.timeout(10):
                text = await socket_.recv()
            assert text == f"{number} ".ljust(size, "x")
    counts = await asyncio.to_thread(told, ours)
    assert counts["sink"] == "Outlet"
    assert counts["direct"], (
        "Twisted's transport gives no socket any more: each frame costs a turn of the loop"
    )
    assert counts["framed_once"], (
        "Autobahn's prepared message has changed: each receiver's frame is made anew"
    )
    assert counts["taken"] > before


async def test_a_request_before_the_upgrade_does_not_disturb_it(ours):
    """The end of an answer may still be in the transport when the same connection becomes a WebSocket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ours, limit=2 * LARGE)
    writer.write(b"GET /test/large HTTP/1.1\r\n%s\r\n" % HOST)
    writer.write(
        b"GET /test/talk?size=10&count=9 HTTP/1.1\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % HOST
    )
    async with asyncio.timeout(20):
        await reader.readuntil(b"\r\n0\r\n\r\n")
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x82\0\0\0\0go")
        for number in range(9):
            assert await reader.readexactly(12) == b"\x81\x0a" + f"{number} ".ljust(10, "x").encode()
    writer.close()
    await writer.wait_closed()


def test_runserver_uses_the_same_server(tmp_path):
    port = free_port()
    environment = os.environ | {"DATA_DIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "manage.py", "runserver", "--noreload", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens(port), 20, "runserver listens")
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(
                b"GET /ws HTTP/1.1\r\n%sUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % HOST
            )
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101")
            # Daphne's own server gives no reason with a close.
            process.send_signal(signal.SIGTERM)
            ending = answer.partition(b"\r\n\r\n")[2]
            while b'"restarting","retry_after":' not in ending:
                part = sock.recv(4096)
                assert part, ending
                ending += part
        assert "Daphne" in (tmp_path / "log").read_text()
    finally:
        stop(process)
