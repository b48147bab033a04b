"""What a reverse proxy tells the portal of a request, and how long it keeps a silent WebSocket.

``/health/proxy`` answers with what arrived; :func:`flaws` compares it with what was sent and is pure. A plain
request does it, since a page is what breaks when host or scheme are lost.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from portal.monitoring.probes.guard import Guard
from portal.monitoring.probes.urls import parse
from portal.operations import proxy_probe
from portal.operations.proxy_probe import Ask

_JSON = json.JSONDecoder()
#: Where a web process says what of a request arrived.
PATH = "/health/proxy"


class Flaw(StrEnum):
    """What the proxy does wrong."""

    HOST = "host"
    SCHEME = "scheme"
    ADDRESS_ABSENT = "address_absent"
    ADDRESS_IGNORED = "address_ignored"
    CONNECTION = "connection"
    CUT = "cut"


#: Wrong, but no harm to this portal, whose server answers a page with ``Connection: upgrade`` like any other.
HARMLESS = frozenset({Flaw.CONNECTION})


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as the web process got it; ``address`` is a word of :mod:`portal.hop`."""

    scheme: str
    host: str
    connection: str
    address: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A WebSocket on which nothing is said: seconds until anything happened, and whether it was its end."""

    seconds: float
    cut: bool


class NoAnswer(Exception):
    """The web process did not say what arrived; the message shows what came instead."""


def flaws(arrived: Arrived, *, scheme: str, host: str) -> tuple[Flaw, ...]:
    """Compare what arrived with the ``scheme`` and ``host`` (with its port) that were asked for.

    A port that is not passed on is no flaw: only forms would notice, and they name their origin themselves.
    """
    found = []
    if _name(arrived.host) != _name(host):
        found.append(Flaw.HOST)
    if arrived.scheme != scheme:
        found.append(Flaw.SCHEME)
    if arrived.address == "absent":
        found.append(Flaw.ADDRESS_ABSENT)
    elif arrived.address == "ignored":
        found.append(Flaw.ADDRESS_IGNORED)
    if "upgrade" in arrived.connection.lower():
        found.append(Flaw.CONNECTION)
    return tuple(found)


def _name(host: str) -> str:
    return (urlsplit(f"//{host}").hostname or "").lower()


def ask(url: str, guard: Guard, *, timeout_s: float) -> Arrived:
    """Ask the web process behind ``url`` (``http://`` or ``https://``) what arrives.

    Raises:
        NoAnswer: something else answered, or nothing within ``timeout_s`` seconds.
        Unreachable: there is no connection to the proxy, or its certificate is not trusted.
        guard.Refused: the address may not be reached.
        urls.BadUrl: it is no such URL.
    """
    place = parse("http", urlunsplit((*urlsplit(url)[:2], PATH, "", "")))
    answer = proxy_probe.send(place, Ask.PLAIN, guard, timeout_s)
    if answer.late:
        raise NoAnswer(f"{PATH}: no answer within {timeout_s:g} s")
    try:
        # A proxy may send the body in chunks, whose lengths stand around it.
        told: Any = _JSON.raw_decode(answer.said, answer.said.index("{"))[0]
        return Arrived(*(str(told[name]) for name in ("scheme", "host", "connection", "address")))
    except (ValueError, KeyError, TypeError):
        raise NoAnswer(f"{PATH}: HTTP {answer.status} {answer.said}"[:200]) from None


def listen(url: str, guard: Guard, *, timeout_s: float, silence_s: float) -> Silence:
    """Open the WebSocket ``url``, say nothing, and wait ``silence_s`` at most for its end or first frame.

    Raises:
        NoAnswer: the handshake fails.
        Unreachable, guard.Refused, urls.BadUrl: as :func:`ask`.
    """
    place = parse("websocket", url)
    with proxy_probe.opened(place, guard, timeout_s) as (connection, status, rest):
        if status != 101:
            raise NoAnswer(f"{place.parts.path}: HTTP {status}")
        began = time.monotonic()
        connection.settimeout(silence_s)
        try:
            said = rest or connection.recv(1)
        except TimeoutError:
            return Silence(silence_s, cut=False)
        except OSError:
            said = b""
        return Silence(round(time.monotonic() - began, 1), cut=not said)
