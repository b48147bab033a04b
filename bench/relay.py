"""Both ends of many WebSockets through a proxy: end users on one side, the web process on the other.

One thread sends and reads everything, on a core of its own. What TLS adds is counted and not decrypted. The
thread looks for what arrives without sleeping: on loopback whoever sends to a sleeper pays for waking it. A
proxy does not pay that for users on other machines.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from types import TracebackType
from typing import Self

from bench.processes import BenchError

TIMEOUT_S = 10.0
#: Seconds without a byte after which nothing more is on its way.
QUIET_S = 0.3
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Relay:
    """``count`` WebSockets through the proxy at ``port``, which passes them on to ``listener``.

    A context manager. ``context`` makes the users speak TLS.

    Raises:
        BenchError: the proxy refuses a user, or does not pass it on.
    """

    def __init__(
        self, port: int, listener: socket.socket, count: int, context: ssl.SSLContext | None = None
    ) -> None:
        self._users: list[socket.socket] = []
        self._webs: list[socket.socket] = []
        self._poll = select.epoll()  # a selector would cost more than what it looks at
        self._by_number: dict[int, socket.socket] = {}
        self._each = 0
        try:
            for _ in range(count):
                self._connect(port, listener, context)
        except OSError as error:
            self.close()
            raise BenchError(
                f"User {len(self._users) + 1} does not get through the proxy: {error}"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        for one in (*self._users, *self._webs):
            one.close()
        self._poll.close()

    def settle(self, frame: bytes) -> int:
        """Send ``frame`` to each user and return the bytes that each got for it, those of TLS included.

        Raises:
            BenchError: not all users got the same.
        """
        self._send(frame)
        least, got, last = len(frame) * len(self._users), 0, time.monotonic()
        while time.monotonic() - last < (QUIET_S if got >= least else TIMEOUT_S):
            if more := self._read():
                got, last = got + more, time.monotonic()
        self._each, rest = divmod(got, len(self._users))
        if got < least or rest:
            raise BenchError(f"{len(self._users)} users got {got} bytes for a frame of {len(frame)} each")
        return self._each

    def rounds(self, frame: bytes, per_second: float, seconds: float) -> int:
        """Send ``frame`` to each user so often, all at the same moment; return the frames that arrived.

        :meth:`settle` has to come first. A round begins when the one before has arrived, late or not.

        Raises:
            BenchError: a round does not arrive.
        """
        began, done = time.monotonic(), 0
        while (due := began + done / per_second) < began + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            self._send(frame)
            wanted, limit = self._each * len(self._users), time.monotonic() + TIMEOUT_S
            while wanted > 0:
                wanted -= self._read()
                if time.monotonic() > limit:
                    raise BenchError(f"{wanted} bytes of round {done + 1} did not arrive in {TIMEOUT_S:g} s")
            done += 1
        return done * len(self._users)

    def _send(self, frame: bytes) -> None:
        for web in self._webs:
            web.sendall(frame)

    def _read(self) -> int:
        got = 0
        for number, _ in self._poll.poll(0):
            data = self._by_number[number].recv(1 << 16)
            if not data:
                raise BenchError("The proxy ended a connection: it was silent for too long on a busy machine")
            got += len(data)
        return got

    def _connect(self, port: int, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        user = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._users.append(user)
        user.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self._users[-1] = user = context.wrap_socket(user)
        user.sendall(REQUEST)
        listener.settimeout(TIMEOUT_S)
        web, _ = listener.accept()
        self._webs.append(web)
        web.settimeout(TIMEOUT_S)
        web.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _head(web)
        web.sendall(ANSWER)
        if not _head(user).startswith(b"HTTP/1.1 101"):
            raise BenchError("The proxy does not pass the upgrade on")
        if isinstance(user, ssl.SSLSocket):
            self._users[-1] = user = socket.socket(fileno=user.detach())
        user.settimeout(TIMEOUT_S)
        self._by_number[user.fileno()] = user
        self._poll.register(user, select.EPOLLIN)


def _head(one: socket.socket) -> bytes:
    """Read a message that has only a head."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = one.recv(4096)
        if not more:
            raise ConnectionError("closed within the handshake")
        data += more
    return data
