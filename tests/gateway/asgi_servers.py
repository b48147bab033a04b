"""A small ASGI application under plain Daphne or under :class:`gateway.server.FeedServer`.

Run as ``python -m tests.gateway.asgi_servers plain|feed PORT`` with Django's settings in the environment.
Paths of its own begin with ``/test/``, all others are the portal's.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import daphne.server  # isort: skip - installs Twisted's reactor

from portal.asgi import application as portal  # isort: skip - sets Django up

from gateway.feed_sink import Frame, sink_of
from gateway.outlet import Outlet
from gateway.server import FeedServer

#: Size of ``/test/large``.
LARGE = 8 * 1024 * 1024
disconnected: list[str] = []
counts: dict[str, Any] = {"offered": 0, "taken": 0}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer one request or serve one WebSocket."""
    if not scope.get("path", "").startswith("/test/"):
        await portal(scope, receive, send)
    elif scope["type"] == "websocket":
        await talk(scope, receive, send)
    else:
        await answer(scope, receive, send)


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Echo the request, or play the part that the path names."""
    body = b""
    while (event := await receive())["type"] == "http.request":
        body += event["body"]
        if not event.get("more_body"):
            break
    match scope["path"]:
        case "/test/large":
            chunks = [bytes([65 + number % 26]) * 65536 for number in range(LARGE // 65536)]
        case "/test/wait":
            await receive()
            disconnected.append(scope["query_string"].decode())
            return
        case "/test/gone":
            chunks = [json.dumps(disconnected).encode()]
        case "/test/counts":
            chunks = [json.dumps(counts).encode()]
        case _:
            told = {name: scope[name] for name in ("method", "path", "http_version", "scheme")}
            told["headers"] = sorted((name.decode(), value.decode()) for name, value in scope["headers"])
            chunks = [json.dumps(told | {"body": body.decode()}).encode()]
    headers = [(b"content-type", b"text/plain"), (b"x-test", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def talk(scope: Any, receive: Any, send: Any) -> None:
    """Send numbers through the sink and through ASGI in turns; ``?size=N&count=M``."""
    query = dict(part.split("=") for part in scope["query_string"].decode().split("&"))
    size, count = int(query["size"]), int(query["count"])
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    sink = sink_of(scope)
    counts["sink"] = type(sink).__name__
    counts["direct"] = isinstance(sink, Outlet) and sink.direct
    for number in range(count):
        text = f"{number} ".ljust(size, "x")
        counts["offered"] += 1
        frame = Frame(text.encode())
        if number % 3 and sink is not None and sink.offer(frame):
            counts["taken"] += 1
            counts["framed_once"] = bool(frame.wire)
        else:
            await send({"type": "websocket.send", "text": text})
    event = await receive()
    while event["type"] != "websocket.disconnect":
        event = await receive()


def main(kind: str, port: int) -> None:
    """Serve until SIGTERM."""
    endpoints = [f"tcp:port={port}:interface=127.0.0.1"]
    if kind == "plain":
        daphne.server.Server(application, endpoints=endpoints, server_name="", verbosity=0).run()
    else:
        FeedServer(
            application,
            endpoints=endpoints,
            max_message_bytes=16384,
            drain_timeout=5,
            server_name="",
            verbosity=0,
        ).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
