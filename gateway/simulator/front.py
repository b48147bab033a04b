"""One port for WebSocket and HTTP: looks at a connection's first bytes and answers plain HTTP itself.

The WebSocket library refuses requests with a body before anybody can read it, and token requests are such
requests. Everything that is not an upgrade is therefore parsed with h11 and answered here.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request

from gateway.simulator.faults import SLOW_SECONDS, Fault
from gateway.simulator.http import Api

#: Longest request head, and longest body, in bytes.
MAX_HEAD = 16 * 1024
MAX_BODY = 64 * 1024


class FrontConnection(ServerConnection):
    """A WebSocket connection, until its first bytes turn out to be plain HTTP."""

    api: Api

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = b""
        self._decided = False
        self._http: h11.Connection | None = None
        self._body = b""
        self._request: h11.Request | None = None

    def data_received(self, data: bytes) -> None:
        """Feed the WebSocket library, or HTTP's parser."""
        if self._http is not None:
            self._feed(data)
        elif self._decided:
            super().data_received(data)
        else:
            self._head += data
            if b"\r\n\r\n" in self._head or len(self._head) > MAX_HEAD:
                self._decide()

    def _decide(self) -> None:
        self._decided, head = True, self._head
        self._head = b""
        control = head.split(b" ", 2)[1:2] and head.split(b" ", 2)[1].startswith(b"/simulator/")
        if Fault.REFUSE in self.api.faults and not control:
            self.transport.abort()
        elif b"\r\nupgrade: websocket" in head.lower():
            super().data_received(head)
        else:
            self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
            self._feed(head)

    def _feed(self, data: bytes) -> None:
        assert self._http is not None  # noqa: S101 - set by _decide before the first call
        self._http.receive_data(data)
        try:
            while (event := self._http.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    self._request = event
                elif isinstance(event, h11.Data):
                    self._body += bytes(event.data)
                    if len(self._body) > MAX_BODY:
                        return self._answer(413, {"error": "body too large"})
                elif isinstance(event, h11.EndOfMessage):
                    return self._dispatch()
                else:
                    return None
        except h11.RemoteProtocolError:
            self._answer(400, {"error": "not HTTP"})
        return None

    def _dispatch(self) -> None:
        assert self._request is not None  # noqa: S101 - h11 yields the request before its end
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self._request.headers}
        path = self._request.target.decode("latin-1").partition("?")[0]
        peer = self.remote_address[0]
        status, data = self.api.handle(self._request.method.decode(), path, headers, self._body, peer)
        if Fault.HALF_OPEN in self.api.faults and not path.startswith("/simulator/"):
            return
        slow = Fault.SLOW in self.api.faults and not path.startswith("/simulator/")
        asyncio.get_running_loop().call_later(SLOW_SECONDS if slow else 0.0, self._answer, status, data)

    def _answer(self, status: int, data: dict[str, Any]) -> None:
        http = self._http
        if http is None or http.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or self.transport.is_closing():
            return
        body = json.dumps(data, ensure_ascii=False).encode()
        head = h11.Response(
            status_code=status,
            headers=[
                ("Content-Type", "application/json;charset=UTF-8"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ],
        )
        for event in (head, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(http.send(event) or b"")
        self.transport.close()


def is_websocket(request: Request) -> bool:
    """Return whether ``request`` asks for one of Kiwoom's WebSocket paths."""
    return request.path.partition("?")[0] in ("/api/dostk/websocket", "/api/us/websocket")
