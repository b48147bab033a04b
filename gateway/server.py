"""Daphne with what a feed needs: back-pressure, shared frames, close reasons and a graceful end.

Daphne hands every reply to the transport without asking whether the client reads, so one that stops reading
would grow this process without bound. Here the WebSocket protocol is the transport's pull producer, and
sending waits until what was sent before has left. The application stays plain ASGI; one that looks for
:data:`gateway.feed_sink.EXTENSION` can hand over a frame for many receivers that is encoded once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

# Importing it first installs Twisted's asyncio reactor.
import daphne.server
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol
from twisted.internet import defer, reactor
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer  # type: ignore[import-untyped] # it carries no types

from gateway.feed_service import existing_service
from gateway.feed_sink import EXTENSION, Frame
from gateway.outlet import Outlet
from gateway.stall import LoopWatch

logger = logging.getLogger(__name__)

#: Connections the kernel may hold for us; Daphne's 50 costs a second per refused SYN.
BACKLOG = 4096
#: Inbound messages that wait for the application before the socket is no longer read.
INBOUND_MAX = 64
#: Seconds until a socket that is no longer read is looked at again.
INBOUND_PAUSE = 0.05
#: Seconds that an idle connection may stay silent before it is pinged, and then before it is dropped: fewer,
#: since Daphne pings again whatever is pending, and Autobahn counts no answer to the ping before that.
PING_INTERVAL, PING_TIMEOUT = 20, 15
#: Seconds for the client to answer a close frame.
CLOSE_TIMEOUT = 2


@implementer(IPullProducer)
class FeedProtocol(WebSocketProtocol):  # type: ignore[misc] # Daphne carries no types
    """A WebSocket whose ``send`` waits for the client, and whose close carries a reason.

    Its outlet is its application's :class:`gateway.feed_sink.Sink`.
    """

    _room: asyncio.Event | None = None
    _gone = False
    _looks_again = False
    _ping: bytes | None = None

    def makeConnection(self, transport: Any) -> None:
        """Take the transport over; everything that Daphne and Autobahn write passes through the outlet.

        Left alone, Linux lets the socket's buffer grow to 4 MiB for a client that stops reading.
        """
        handle, size = transport.getHandle(), self.factory.server_class.send_buffer
        if size and isinstance(handle, socket.socket):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        super().makeConnection(Outlet(transport, self, self.offer))

    def connectionLost(self, reason: Any) -> None:
        """Let whoever waits to send go."""
        if isinstance(self.transport, Outlet):
            self.transport.open = False
        self.stopProducing()
        super().connectionLost(reason)

    def resumeProducing(self) -> None:
        """Everything that was sent has reached the kernel."""
        if not isinstance(self.transport, Outlet):  # it is being made
            return
        self.transport.drained()
        if self._ping is not None:
            payload, self._ping = self._ping, None
            super().onPing(payload)
        if self._room is not None:
            self._room.set()
            self._room = None
        self.transport.on_room()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._gone = True
        if self._room is not None:
            self._room.set()

    async def writable(self) -> None:
        """Return when everything that was sent has reached the kernel, or the connection is gone."""
        while not self.transport.empty and not self._gone:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def offer(self, frame: Frame) -> bool:
        """Take ``frame`` if everything before it has reached the kernel, and return whether it did."""
        if not self.transport.empty or self.state != self.STATE_OPEN:
            return False
        if frame.wire is None:
            message = self.factory.prepareMessage(frame.payload, isBinary=False, doNotCompress=True)
            # Not in Autobahn's documentation: without it each receiver's frame is made anew.
            frame.wire = getattr(message, "payloadHybi", b"")
        if frame.wire:
            self.transport.write(frame.wire)
        else:
            self.serverSend(frame.text)
        return True

    def onPing(self, payload: bytes) -> None:
        """Answer; while the client does not read only the newest waits (RFC 6455, 5.5.3)."""
        if self.transport.empty:
            super().onPing(payload)
        else:
            self._ping = payload

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Pass a message on; while too many wait for the application, read no more."""
        super().onMessage(payload, isBinary)
        if not self._looks_again:  # one read brings thousands of small messages: one timer for all of them
            self._hold_back()

    def _hold_back(self) -> None:
        self._looks_again = False
        queue = getattr(self, "application_queue", None)
        if self.state != self.STATE_OPEN or queue is None:
            return
        if queue.qsize() >= INBOUND_MAX:
            self.transport.pauseProducing()
            self._looks_again = True
            asyncio.get_running_loop().call_later(INBOUND_PAUSE, self._hold_back)
        else:
            self.transport.resumeProducing()

    def serverSend(self, content: Any, binary: bool = False) -> None:
        """Send one frame. Autobahn's ``sendMessage`` would hold it to the limit of inbound messages."""
        if self.state == self.STATE_OPEN:
            self.sendFrame(opcode=2 if binary else 1, payload=content if binary else content.encode())

    def sendCloseFrame(self, *args: Any, **options: Any) -> None:
        """Send it as the last frame."""
        if isinstance(self.transport, Outlet):
            self.transport.open = False
        super().sendCloseFrame(*args, **options)

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Carry out what the application sends; a close keeps its code and reason."""
        if message.get("type") == "websocket.close" and self.state == self.STATE_OPEN:
            reason = str(message.get("reason") or "").encode()[:123]
            self.sendCloseFrame(code=message.get("code") or 1000, reasonUtf8=reason or None)
        else:
            super().handle_reply(message)


class FeedServer(daphne.server.Server):  # type: ignore[misc] # Daphne carries no types
    """Daphne's server with :class:`FeedProtocol`. ``drain_timeout`` is in seconds.

    ``send_buffer`` bounds what the kernel holds for one WebSocket, in bytes (Linux doubles it); 0 leaves it.
    ``watched`` ends the process when its event loop stands still (:mod:`gateway.stall`).
    ``endpoints`` are Twisted's descriptions, as :mod:`daphne.endpoints` makes them.
    """

    failure = ""

    def __init__(
        self,
        application: Callable[..., Awaitable[None]],
        *,
        endpoints: Sequence[str],
        max_message_bytes: int,
        drain_timeout: float,
        send_buffer: int = 0,
        watched: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(
            application,
            endpoints=[f"{one}:backlog={BACKLOG}" if one.startswith("tcp:") else one for one in endpoints],
            websocket_timeout=-1,
            websocket_max_message_size=max_message_bytes,
            websocket_max_frame_size=max_message_bytes,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_TIMEOUT,
            application_close_timeout=5,
            **options,
        )
        self._drain_timeout = drain_timeout
        self.send_buffer = send_buffer
        self._watched = watched
        self._ports: list[Any] = []
        self._closing: asyncio.Future[None] | None = None

    @property
    def ws_factory(self) -> WebSocketFactory:
        """The factory that Daphne makes in ``run``, with our protocol."""
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: WebSocketFactory) -> None:
        factory.protocol = FeedProtocol
        factory.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=CLOSE_TIMEOUT)
        self._ws_factory = factory

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> asyncio.Queue[Any] | None:
        """Announce the connection's sink to the application."""
        if isinstance(protocol, FeedProtocol):
            scope.setdefault("extensions", {})[EXTENSION] = {"sink": protocol.transport}
        queue: asyncio.Queue[Any] | None = super().create_application(protocol, scope)
        return queue

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        """Pass a reply on, then wait while the client does not read."""
        await super().handle_reply(protocol, message)
        if message["type"] == "websocket.send" and isinstance(protocol, FeedProtocol):
            await protocol.writable()

    def listen_success(self, port: Any) -> None:
        """Keep the port, so that it can be closed before the drain."""
        if self._watched and not self._ports:
            clock: Any = reactor  # its loop does not run yet
            clock.callLater(0, lambda: LoopWatch(asyncio.get_running_loop()).start())
        self._ports.append(port)
        super().listen_success(port)

    def listen_error(self, failure: Any) -> None:
        """Keep the reason for whoever started the server."""
        self.failure = failure.getErrorMessage()
        self.stop()

    def kill_all_applications(self) -> defer.Deferred[None]:
        """Drain, then end what is left; the reactor stops when the result fires."""
        self._closing = asyncio.ensure_future(self._shut_down())
        return defer.Deferred.fromFuture(self._closing)

    async def _shut_down(self) -> None:
        for port in self._ports:
            port.stopListening()
        service = existing_service()
        if service is not None:
            logger.info("Draining %d feed connections", await service.drain())
        for protocol in self._open():
            if service is None or protocol.path.startswith(b"/live"):
                protocol.handle_reply({"type": "websocket.close", "code": 1012})
        await self._all_closed()
        left = [details.get("application_instance") for details in self.connections.values()]
        tasks = [task for task in left if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        if service is not None:
            await service.stop()

    async def _all_closed(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._drain_timeout
        while self._open() and loop.time() < deadline:  # noqa: ASYNC110 - Daphne announces no disconnects
            await asyncio.sleep(0.05)

    def _open(self) -> list[FeedProtocol]:
        return [
            protocol
            for protocol, details in self.connections.items()
            if isinstance(protocol, FeedProtocol) and "disconnected" not in details
        ]
