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


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps every message, with the unix time of its arrival as ``arrived``."""

    def __init__(self, port: int = 0) -> None:
        self.messages: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def channel(self) -> str:
        """Apprise's URL of this channel."""
        return f"json://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if len(self.server.messages) < MOST:
            self.server.messages.append(message | {"arrived": time.time()})
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver on ``port`` (0: a free one) until the block ends."""
    with Receiver(port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
