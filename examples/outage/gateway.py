"""The seed's outage as a program: an API gateway that retries a dead WebSocket in a hot loop.

It shows four mistakes on purpose: no pause between tries, no limit to them, a log line for each, and the
upstream's address is looked up only at the start. The loop never lets the event loop go, so ``/health`` and
``/ws`` stop answering; every failed try keeps its buffer, so memory grows. When ``OUTAGE_UPSTREAM_FILE``
exists at the start, the upstream answers again. ``OUTAGE_CLIENT=none`` is the repaired program: the faulty
client is taken out of it.

It cannot hurt the machine it runs on: one core, memory up to ``OUTAGE_MEMORY_MIB`` (768), about 400 log
lines/s, and it ends by itself after ``OUTAGE_SECONDS`` (300). ``OUTAGE_HEALTHY_SECONDS`` (5) pass first.
Only the standard library is used, so that a bare Python makes the whole image.
"""

import asyncio
import base64
import os
import signal
import socket
import sys
import time
from importlib import import_module
from pathlib import Path

PORT = int(os.environ.get("OUTAGE_PORT", "5111"))
HOST = os.environ.get("OUTAGE_HOST", "127.0.0.1")
HEALTHY_SECONDS = float(os.environ.get("OUTAGE_HEALTHY_SECONDS", "5"))
LIFETIME_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "300"))
MEMORY_MIB = int(os.environ.get("OUTAGE_MEMORY_MIB", "768"))
UPSTREAM_FILE = Path(os.environ.get("OUTAGE_UPSTREAM_FILE", "/app/upstream"))
HAS_CLIENT = os.environ.get("OUTAGE_CLIENT", "faulty") != "none"
TRY_SECONDS = 0.0025
BUFFER_BYTES = 64 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\nConnection: close\r\n\r\n"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
#: A text frame, so that who connected sees that the service speaks.
HELLO = b"\x81\x05hello"


class DeadUpstream:
    """A WebSocket server that never answers: its queue of one connection is full from the start."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.address = self._listener.getsockname()
        self._callers = [self._call() for _ in range(4)]

    def _call(self) -> socket.socket:
        caller = socket.socket()
        caller.setblocking(False)
        caller.connect_ex(self.address)
        return caller


class Upstream:
    """The faulty client: hot loop, no limit, a line for each try, a leak for each try."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.pending: list[bytearray] = []

    def run_forever(self, until: float) -> None:
        """Retry without a pause; returns only when the demo's own time is over."""
        while time.monotonic() < until:
            for _ in range(5):
                self._connect()
                print("ERROR WebSocket connection timeout", flush=True)
            print("ERROR Reconnection failed after 5 attempts", flush=True)

    def _connect(self) -> None:
        """Try once, spinning until the try's time is over."""
        if len(self.pending) * BUFFER_BYTES < MEMORY_MIB * 2**20:
            self.pending.append(bytearray(b"\x01") * BUFFER_BYTES)
        deadline = time.monotonic() + TRY_SECONDS
        with socket.socket() as upstream:
            upstream.setblocking(False)
            upstream.connect_ex(self.address)
            while time.monotonic() < deadline:
                upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def accepted(head: bytes) -> bytes:
    """Return the answer to a WebSocket handshake, empty when ``head`` asks for none (RFC 6455, 4.2.2)."""
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
    by_name = {name.lower(): value for name, value in fields.items()}
    key = by_name.get(b"sec-websocket-key")
    if key is None or by_name.get(b"upgrade", b"").lower() != b"websocket":
        return b""
    # hashlib would want OpenSSL in the image.
    digest = import_module("_sha1").sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return UPGRADE + b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n" + HELLO


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer ``/health`` and ``/ws``, as long as anybody lets this task run."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        handshake = accepted(head)
        writer.write(handshake or OK + b'{"status": "ok"}')
        await writer.drain()
        if handshake:
            await reader.read(100)  # the closing frame
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve(well: bool) -> None:
    """Serve, then lose the upstream unless it answers or nothing calls it."""
    server = await asyncio.start_server(answer, HOST, PORT)
    print(f"INFO api-gateway listens on {HOST}:{PORT}", flush=True)
    started = time.monotonic()
    async with server:
        await asyncio.sleep(min(HEALTHY_SECONDS, LIFETIME_SECONDS))
        if HAS_CLIENT and not well:
            Upstream(DeadUpstream().address).run_forever(started + LIFETIME_SECONDS)
        else:
            print("INFO the upstream answers" if HAS_CLIENT else "INFO no upstream client", flush=True)
            await asyncio.sleep(max(0.0, started + LIFETIME_SECONDS - time.monotonic()))
    print(f"INFO this demonstration ends by itself after {LIFETIME_SECONDS:g} s", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    asyncio.run(serve(UPSTREAM_FILE.exists()))
