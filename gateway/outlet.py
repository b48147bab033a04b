"""A Twisted transport that knows whether everything written to it has reached the kernel."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IPullProducer, ITransport
from zope.interface import implementer  # type: ignore[import-untyped] # it carries no types


@implementer(ITransport)
class Outlet:
    """Wraps ``transport``; whatever is not written here is the transport's own.

    ``producer`` is registered as its pull producer, which Twisted asks for more each time that the buffer
    runs empty; it has to call :meth:`drained` then. While nothing waits, data goes straight to the socket,
    which saves two ``epoll_ctl`` calls and a turn of the loop for each frame, and leaves at most one write
    in this process's memory. A transport without a plain socket (TLS) is written to as usual.
    """

    __slots__ = ("_send", "_transport", "empty")

    def __init__(self, transport: Any, producer: IPullProducer) -> None:
        handle = transport.getHandle()
        self._transport = transport
        self._send = handle.send if isinstance(handle, socket.socket) else None
        # Twisted's HTTP channel stays the transport's producer after an upgrade.
        transport.unregisterProducer()
        transport.registerProducer(producer, False)
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
        """Close once the buffer is empty; Twisted would wait for a producer that stays registered."""
        self._transport.unregisterProducer()
        self._transport.loseConnection()
