"""A message channel for tests of the whole product: takes Apprise's JSON messages over real HTTP."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Messages kept.
MOST = 10_000


class Receiver:
    """Keeps every message, with the unix time of its arrival as ``arrived``; it may leave and come back."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.messages: list[dict[str, Any]] = []
        self.address = address
        self._server = _Server((address, 0), self.messages)
        self.port: int = self._server.server_port
        self._serve()

    @property
    def channel(self) -> str:
        """Apprise's URL of this channel."""
        return f"json://{self.address}:{self.port}"

    def _serve(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Close the port; the messages so far are kept."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def come_back(self) -> None:
        """Listen on the same port again."""
        self._server = _Server((self.address, self.port), self.messages)
        self._serve()


class _Server(http.server.ThreadingHTTPServer):
    def __init__(self, place: tuple[str, int], messages: list[dict[str, Any]]) -> None:
        self.messages = messages
        super().__init__(place, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if len(self.server.messages) < MOST:
            self.server.messages.append(message | {"arrived": time.time()})
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving(address: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run a receiver on a free port of one of this machine's addresses until the block ends."""
    server = Receiver(address)
    try:
        yield server
    finally:
        server.leave()
