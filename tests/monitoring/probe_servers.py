"""Real servers on loopback that answer as a test tells them, and the guard that lets probes reach them."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

from websockets.asyncio.server import ServerConnection as ServerConnectionInLoop
from websockets.asyncio.server import serve as serve_in_loop
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from portal.monitoring.probes.guard import Guard, parse_policy

LOCAL = Guard(policy=parse_policy(["loopback"]))
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def http_server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve ``answer`` to every GET and POST, over TLS with a context; yields the URL (always ``http://``)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the library looks for
            answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            server.handle_error = lambda *_arguments: None  # type: ignore[method-assign] # refused handshakes
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def replying(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer with these parts."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def dripping(start: bytes) -> Answer:
    """An answer of which ``start`` comes at once and the rest, without end, byte by byte."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        try:
            handler.wfile.write(start)
            while True:
                handler.wfile.write(b".")
                threading.Event().wait(0.02)
        except OSError:
            return

    return answer


@contextmanager
def ws_server(
    talk: Callable[[ServerConnection], None],
    refuse: Callable[[ServerConnection, Request], Response | None] | None = None,
) -> Iterator[str]:
    """Serve WebSocket with ``talk``; yields the URL."""
    with served(serve(talk, "127.0.0.1", 0, process_request=refuse, logger=quiet())) as port:
        yield f"ws://127.0.0.1:{port}/ws"


@contextmanager
def served(server: Server) -> Iterator[int]:
    """Run a WebSocket server; yields its port."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def wss_server(context: ssl.SSLContext) -> Iterator[int]:
    """Greet whoever comes, in one thread: TLS does not bear the two of :func:`served`. Yields the port."""
    started: Queue[tuple[int, Callable[[], object]]] = Queue()

    async def greet(connection: ServerConnectionInLoop) -> None:
        await connection.send("hi")

    async def main() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serve_in_loop(greet, "127.0.0.1", 0, ssl=context) as server:
            (listener,) = server.sockets
            started.put((listener.getsockname()[1], lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    port, end = started.get(timeout=10)
    try:
        yield port
    finally:
        end()
        thread.join()


def quiet() -> logging.Logger:
    """A logger that keeps the server's words to itself."""
    logger = logging.getLogger("tests.websocket")
    logger.propagate = False
    return logger


def silent(connection: ServerConnection) -> None:
    """Shake hands and say nothing."""
    for _frame in connection:
        pass
