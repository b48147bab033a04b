"""A Twisted transport that knows whether everything written to it has reached the kernel."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IPullProducer, ITransport
from zope.interface import implementer  # type: ignore[import-untyped] # it carries no types

from gateway.feed_sink import Frame

#: Seconds in which a client that closes takes what waits for it. Twisted waits for ever, and reads no more.
DRAIN_S = 10.0


@implementer(ITransport)
class Outlet:
    """Wraps ``transport``; whatever is not written here is the transport's own.

    ``producer`` is registered as its pull producer, which Twisted asks for more each time that the buffer
    runs empty; it has to call :meth:`drained` then. While nothing waits, data goes straight to the socket,
    which saves two ``epoll_ctl`` calls and a turn of the loop for each frame, and leaves at most one write
    in this process's memory. A transport without a plain socket (TLS) is written to as usual.
    """

    __slots__ = ("_offer", "_send", "_transport", "empty", "on_room", "open")

    def __init__(
        self, transport: Any, producer: IPullProducer, offer: Callable[[Frame], bool] = lambda frame: False
    ) -> None:
        handle = transport.getHandle()
        self._transport = transport
        self._send = handle.send if isinstance(handle, socket.socket) else None
        # Twisted's HTTP channel stays the transport's producer after an upgrade.
        transport.unregisterProducer()
        transport.registerProducer(producer, False)
        self._offer = offer
        #: Called whenever a frame can be offered again.
        self.on_room: Callable[[], None] = lambda: None
        #: Frames may be offered; false once the connection is being closed.
        self.open = True
        #: Nothing waits. False at first: the end of an earlier answer may still be in the buffer.
        self.empty = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def direct(self) -> bool:
        """Whether data can go straight to the socket."""
        return self._send is not None

    def drained(self) -> None:
        """Take note that the transport's buffer is empty."""
        self.empty = True

    def offer(self, frame: Frame) -> bool:
        """Take ``frame`` if nothing waits; one that is not framed yet is left to the protocol's ``offer``."""
        if not (self.empty and self.open):
            return False
        wire = frame.wire
        if not wire or self._send is None:
            return self._offer(frame)
        try:
            sent = self._send(wire)
        except OSError:  # see write
            sent = 0
        if sent != len(wire):
            self.empty = False
            self._transport.write(wire[sent:])
        return True

    def write(self, data: bytes) -> None:
        """Write ``data`` after everything that was written before."""
        if self.empty and self._send is not None:
            try:
                sent = self._send(data)
            except OSError:  # it is full, or broken, which Twisted then finds out by itself
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self.empty = False
        self._transport.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write several pieces."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close once the buffer is empty, or after ``DRAIN_S``.

        Twisted would wait for a producer that stays registered.
        """
        self.open = False
        self._transport.unregisterProducer()
        self._transport.loseConnection()
        # Weakly: a connection that ended is not to stay in memory until then.
        asyncio.get_running_loop().call_later(DRAIN_S, _abort, weakref.ref(self._transport))

    def abortConnection(self) -> None:
        """Close at once."""
        self.open = False
        self._transport.abortConnection()


def _abort(transport: weakref.ref[Any]) -> None:
    if (found := transport()) is not None:
        found.abortConnection()
