"""Which upgrade headers a reverse proxy passes on, found by raw WebSocket handshakes through it.

Three requests are sent. The *full* one is what a browser sends. The *bare* one has ``Upgrade`` but no
``Connection`` header, as a client behind another hop or HTTP/2 has it: only a proxy that sets ``Connection``
itself turns it into an upgrade. The *plain* one has neither, and shows what the server says to a request that
is no upgrade at all. What the three answers together mean is decided by :func:`judge`, which is pure.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from portal.monitoring.logs import safe_line
from portal.monitoring.probes import trust
from portal.monitoring.probes.guard import Guard
from portal.monitoring.probes.urls import Place, parse

#: Bytes of an answer's head and body that are read.
MAX_HEAD = 16 * 1024
MAX_BODY = 2 * 1024
#: What a proxy answers for a server that is not there.
GATEWAY_STATUSES = frozenset({502, 503})
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: What servers say of the Connection header that reached them (autobahn and websockets do).
_ABSENT = re.compile(r"missing\s+connection header|connection header (?:is )?missing", re.I)
_WRONG = re.compile(
    r"invalid connection header:?\s*(?P<a>[\w, -]{0,60})"
    r"|connection headers? do(?:es)? not include[^:]*:\s*[\"]?(?P<b>[\w, -]{0,60})",
    re.I,
)


class Ask(StrEnum):
    """Which request is sent."""

    FULL = "full"
    BARE = "bare"
    PLAIN = "plain"


class Finding(StrEnum):
    """What the proxy does with an upgrade."""

    OK = "ok"
    NOT_FORWARDED = "not_forwarded"
    HARD_CODED = "hard_coded"
    TIMEOUT = "timeout"
    BAD_GATEWAY = "bad_gateway"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: ``status`` 0 with ``late`` when none came in time. ``said`` is the reason and the body."""

    status: int
    said: str = ""
    late: bool = False

    @property
    def upgraded(self) -> bool:
        """Whether the handshake succeeded."""
        return self.status == 101


@dataclass(frozen=True, slots=True)
class Judgement:
    """The finding, the statuses it was made of, and the Connection value that arrived where it was told."""

    finding: Finding
    seen: str
    arrived: str = ""


class Unreachable(Exception):
    """Nothing can be said of the headers: there is no connection to the proxy."""


def judge(full: Answer, bare: Answer | None = None, plain: Answer | None = None) -> Judgement:
    """Say what the proxy does; ``bare`` matters after a successful ``full``, ``plain`` after a failed one.

    A failed full handshake whose answer is the one to a plain request reached the server without any upgrade
    header. One that is answered differently reached it half: the server saw ``Upgrade`` and a ``Connection``
    that the client did not send.
    """
    asked = {"full": full, "bare": bare, "plain": plain}
    seen = ", ".join(f"{name} {_shown(one)}" for name, one in asked.items() if one is not None)
    for one in (full, bare):
        if one is None:
            continue
        if one.late or one.status == 504:
            return Judgement(Finding.TIMEOUT, seen)
        if one.status in GATEWAY_STATUSES:
            return Judgement(Finding.BAD_GATEWAY, seen)
    if full.upgraded:
        if bare is None:
            raise ValueError("a full handshake that succeeded needs the bare one")
        if bare.upgraded:
            return Judgement(Finding.OK, seen)
        return Judgement(Finding.UNCLEAR if _is_unclear(bare) else Finding.NOT_FORWARDED, seen)
    if plain is None:
        raise ValueError("a full handshake that failed needs the plain request")
    wrong = _WRONG.search(full.said)
    arrived = (wrong["a"] or wrong["b"] or "").strip() if wrong else ""
    same = plain.status == full.status
    # "close" is what nginx sends by itself, so it is no sign of a hard-coded value; any other one is.
    if arrived and (arrived.lower() != "close" or not same):
        return Judgement(Finding.HARD_CODED, seen, arrived)
    if _ABSENT.search(full.said):
        return Judgement(Finding.NOT_FORWARDED, seen)
    if _is_unclear(full):
        return Judgement(Finding.UNCLEAR, seen)
    return Judgement(Finding.NOT_FORWARDED if same else Finding.HARD_CODED, seen)


def _is_unclear(answer: Answer) -> bool:
    """Whether it is a broken answer, a failure, a redirect, a refusal or a limit: no word on the headers."""
    status = answer.status
    return not 100 <= status < 500 or status in (401, 403, 429) or 300 <= status < 400


def look(url: str, guard: Guard, *, timeout_s: float) -> Judgement:
    """Send the handshakes to ``url`` (``ws://`` or ``wss://``), each within ``timeout_s`` seconds.

    Raises:
        Unreachable: no connection to the proxy, or its certificate is not trusted.
        guard.Refused: the address may not be reached.
        urls.BadUrl: it is no such URL.
    """
    place = parse("websocket", url)
    full = send(place, Ask.FULL, guard, timeout_s)
    if full.late or full.status in {*GATEWAY_STATUSES, 504}:
        return judge(full)
    if full.upgraded:
        return judge(full, bare=send(place, Ask.BARE, guard, timeout_s))
    return judge(full, plain=send(place, Ask.PLAIN, guard, timeout_s))


def send(place: Place, ask: Ask, guard: Guard, timeout_s: float) -> Answer:
    """Send one request and read the head of its answer and, unless it is 101, a little of the body.

    Raises:
        Unreachable: see :func:`look`.
        guard.Refused: the address may not be reached.
    """
    deadline = time.monotonic() + timeout_s
    key = base64.b64encode(os.urandom(16))
    with _connected(place, guard, timeout_s) as connection:
        try:
            connection.sendall(_request(place, ask, key))
            head, rest = _head(connection, deadline)
        except TimeoutError:
            return Answer(0, late=True)
        except (OSError, ssl.SSLError) as error:
            return Answer(0, said=_words(error))
        status, reason = _status(head)
        if status != 101:
            return Answer(status, safe_line(f"{reason} {_body(connection, rest, deadline)}")[:400])
        if ask is not Ask.PLAIN and _accept(key) not in head:
            return Answer(0, said="101 without the right Sec-WebSocket-Accept")
        return Answer(status, reason)


@contextmanager
def opened(place: Place, guard: Guard, timeout_s: float) -> Iterator[tuple[socket.socket, int, bytes]]:
    """Shake hands like a browser; yields the connection, the status, and what came behind the answer's head.

    Raises:
        Unreachable: see :func:`look`; also when the proxy does not answer.
        guard.Refused: the address may not be reached.
    """
    deadline = time.monotonic() + timeout_s
    with _connected(place, guard, timeout_s) as connection:
        try:
            connection.sendall(_request(place, Ask.FULL, base64.b64encode(os.urandom(16))))
            head, rest = _head(connection, deadline)
        except OSError as error:
            raise Unreachable(_words(error)) from error
        yield connection, _status(head)[0], rest


@contextmanager
def _connected(place: Place, guard: Guard, timeout_s: float) -> Iterator[socket.socket]:
    deadline = time.monotonic() + timeout_s
    try:
        plain = guard.connect(place.host, place.port, timeout_s)
    except OSError as error:
        raise Unreachable(_words(error)) from error
    with plain, _wrapped(plain, place, guard, deadline) as connection:
        yield connection


def _wrapped(plain: socket.socket, place: Place, guard: Guard, deadline: float) -> socket.socket:
    if place.parts.scheme not in ("wss", "https"):
        return plain
    plain.settimeout(max(0.05, deadline - time.monotonic()))
    try:
        return trust.verifying(guard.ca_file).wrap_socket(plain, server_hostname=place.host)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"certificate not trusted: {error.verify_message}") from error
    except OSError as error:
        raise Unreachable(f"TLS: {_words(error)}") from error


def _request(place: Place, ask: Ask, key: bytes) -> bytes:
    port = "" if place.port in (80, 443) else f":{place.port}"
    host = f"[{place.host}]" if ":" in place.host else place.host
    path = place.parts.path or "/"
    lines = [
        f"GET {path}{'?' + place.parts.query if place.parts.query else ''} HTTP/1.1",
        f"Host: {host}{port}",
        "User-Agent: bonghwa-probe",
    ]
    if ask is Ask.FULL:
        lines.append("Connection: keep-alive, Upgrade")
    if ask is not Ask.PLAIN:
        lines += [
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key.decode()}",
        ]
    return "\r\n".join([*lines, "", ""]).encode("ascii", "backslashreplace")


def _head(connection: socket.socket, deadline: float) -> tuple[bytes, bytes]:
    read = b""
    while b"\r\n\r\n" not in read and len(read) < MAX_HEAD:
        more = _receive(connection, deadline)
        if not more:
            raise ConnectionResetError("the connection was closed without an answer")
        read += more
    head, _end, rest = read.partition(b"\r\n\r\n")
    return head, rest


def _body(connection: socket.socket, read: bytes, deadline: float) -> str:
    """Return the beginning of the body; a keep-alive connection is read for half a second at most."""
    deadline = min(deadline, time.monotonic() + 0.5)
    try:
        while len(read) < MAX_BODY and (more := _receive(connection, deadline)):
            read += more
    except OSError:
        pass
    return read[:MAX_BODY].decode("utf-8", "replace").replace("\n", " ")


def _receive(connection: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    return connection.recv(4096)


def _status(head: bytes) -> tuple[int, str]:
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    found = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: (.*))?", line)
    return (int(found[1]), found[2] or "") if found else (0, "no HTTP answer")


def _accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455 asks for it


def _shown(answer: Answer) -> str:
    if answer.late:
        return "timeout"
    return f"HTTP {answer.status}" if answer.status else f"({answer.said[:80]})"


def _words(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return safe_line(text)[:200]
