"""The seed's outage as a program: an API gateway that retries a dead WebSocket in a hot loop.

It shows three mistakes on purpose: no pause between tries, no limit to them, and a log line for each. The
loop never lets the event loop go, so ``/health`` stops answering; every failed try keeps its buffer, so
memory grows.

It cannot hurt the machine it runs on: one core, memory up to ``OUTAGE_MEMORY_MIB`` (768), about 400 log
lines/s, and it ends by itself after ``OUTAGE_SECONDS`` (300). ``OUTAGE_HEALTHY_SECONDS`` (5) pass first.
Only the standard library is used, so that a bare Python makes the whole image.
"""

import asyncio
import os
import signal
import socket
import sys
import time

PORT = int(os.environ.get("OUTAGE_PORT", "5111"))
HOST = os.environ.get("OUTAGE_HOST", "127.0.0.1")
HEALTHY_SECONDS = float(os.environ.get("OUTAGE_HEALTHY_SECONDS", "5"))
LIFETIME_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "300"))
MEMORY_MIB = int(os.environ.get("OUTAGE_MEMORY_MIB", "768"))
TRY_SECONDS = 0.0025
BUFFER_BYTES = 64 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\nConnection: close\r\n\r\n"


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


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer ``/health``, as long as anybody lets this task run."""
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b'{"status": "ok"}')
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve() -> None:
    """Serve, then lose the upstream."""
    server = await asyncio.start_server(answer, HOST, PORT)
    print(f"INFO api-gateway listens on {HOST}:{PORT}", flush=True)
    started = time.monotonic()
    async with server:
        await asyncio.sleep(HEALTHY_SECONDS)
        Upstream(DeadUpstream().address).run_forever(started + LIFETIME_SECONDS)
    print(f"INFO this demonstration ends by itself after {LIFETIME_SECONDS:g} s", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    asyncio.run(serve())
