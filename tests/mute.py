"""A server that takes connections and says nothing, and what became of the connections."""

from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Mute:
    """``port`` of loopback takes connections; nobody answers."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.port: int = listener.getsockname()[1]

    def closed(self, within: float = 5.0) -> bool:
        """Whether the client of the oldest connection has closed it, or does within so many seconds."""
        self._listener.settimeout(within)
        accepted, _address = self._listener.accept()
        with accepted, suppress(TimeoutError):
            accepted.settimeout(within)
            while accepted.recv(65_536):
                pass
            return True
        return False


@contextmanager
def mute() -> Iterator[Mute]:
    """Run the server; meanwhile no garbage is collected, which would close what the program forgot."""
    collects = gc.isenabled()
    gc.disable()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield Mute(listener)
    finally:
        if collects:
            gc.enable()
