"""A receiver of messages: a real HTTP server on loopback that keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Longest time that a receiver holds an answer back, in seconds.
HOLD_S = 60.0


@dataclass
class Hook:
    """What was sent, and how the next requests are answered (200 when nothing is said)."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    calls: int = 0
    titles: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address for Apprise, with a password and a token that nobody may see."""
        return f"json://ops:s3cret-word@127.0.0.1:{self.port}/hooks/s3cret-path"

    @property
    def webhook_url(self) -> str:
        """Its address for a signed webhook."""
        return f"http://127.0.0.1:{self.port}/hooks/s3cret-path"

    def take(self, raw: bytes, headers: dict[str, str]) -> int:
        """Keep a request, wait until answers may go, and read the message if it is taken."""
        self.calls += 1
        self.requests.append((headers, raw))
        self.go.wait(HOLD_S)
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            message = json.loads(raw)
            data = message.get("data", {})
            self.titles.append(message["title"] if "title" in message else data["subject"])
            self.bodies.append(message["message"] if "message" in message else data["text"])
        return status


@contextmanager
def receiver(handler: type[BaseHTTPRequestHandler] | None = None, port: int = 0) -> Iterator[Hook]:
    """Run a receiver on a free port; ``handler`` replaces the one that keeps what it is sent."""
    hook = Hook()
    hook.go.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(hook.take(raw, {name.lower(): value for name, value in self.headers.items()}))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", port), handler or Handler) as server:
        hook.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hook
        finally:
            hook.go.set()
            server.shutdown()
            thread.join()
