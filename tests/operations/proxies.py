"""A real nginx in front of a real WebSocket server, with the ``location`` that a test writes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.sync.server import ServerConnection, serve

from tests.servers import serving
from tests.services import free_port

#: What everybody writes, and the seed's line, which is empty for a client that sends no Connection header.
BASE = "proxy_http_version 1.1; proxy_set_header Host $host;"
SEED = f"{BASE} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;"
FIXED = f'{BASE} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
BY_MAP = f"{BASE} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
MISSING = BASE
WRONG = f'{BASE} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "keep-alive";'
MAP = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"


@contextmanager
def websocket_server() -> Iterator[int]:
    """Run a WebSocket server that keeps its connections; yields its port."""

    def stay(connection: ServerConnection) -> None:
        for _message in connection:
            pass

    with serve(stay, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield int(server.socket.getsockname()[1])
        server.shutdown()
        thread.join(5)


@contextmanager
def silent_server() -> Iterator[int]:
    """Take connections and never answer; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def proxied(location: str, upstream: int) -> Iterator[int]:
    """Run nginx with ``location`` in front of ``upstream``; yields nginx's port."""
    port = free_port()
    server = (
        f"{MAP} server {{ listen 127.0.0.1:{port}; location / {{ {location} proxy_read_timeout 30s; "
        f"proxy_pass http://127.0.0.1:{upstream}; }} }}"
    )
    with serving(server, port):
        yield port
