"""WebSocket probe: the handshake is not enough, a frame has to come.

It runs on a loop of its own. The library's blocking client reads and writes in two threads, which OpenSSL
forbids for one connection (python/cpython#143756): wss then hangs or crashes now and then.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from urllib.parse import urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from portal.monitoring.probes import trust
from portal.monitoring.probes.base import USER_AGENT, ProbeReading, Stopwatch, Target, unknown
from portal.monitoring.probes.guard import Guard, Refused
from portal.monitoring.probes.urls import Place, parse

#: Seconds after the handshake in which the first frame has to come.
FIRST_FRAME_S = 5.0
#: Bytes of a frame that are accepted.
MAX_FRAME = 64 * 1024


def probe_websocket(target: Target, guard: Guard) -> ProbeReading:
    """Shake hands with ``target.url``, send ``target.send`` if there is any, and wait for a frame."""
    watch = Stopwatch()
    try:
        place = parse("websocket", target.url)
        with guard.connect(place.host, place.port, _left(target, watch)) as connected:
            connected.setblocking(False)  # the library keeps the time from here on
            return asyncio.run(_ask(target, place, guard, connected, watch))
    except Refused as refusal:
        return unknown(f"refused: {refusal}")
    except InvalidStatus as error:
        return _refused(error, watch)
    except TimeoutError:
        return watch.failed(f"no handshake within {target.timeout_s:g} s")
    except ConnectionClosed as error:
        return watch.failed(f"closed: {_closing(error)}", close_code=error.rcvd.code if error.rcvd else 1006)
    except ssl.SSLCertVerificationError as error:
        return watch.failed(f"certificate not trusted: {error.verify_message}")
    except (InvalidHandshake, InvalidURI, OSError, ValueError) as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, InvalidStatus):  # a redirect, which the library follows only without a socket
            return _refused(cause, watch)
        return watch.failed(str(error) or type(error).__name__)


def _left(target: Target, watch: Stopwatch) -> float:
    return max(0.05, target.timeout_s - watch.ms / 1000)


async def _ask(
    target: Target, place: Place, guard: Guard, connected: socket.socket, watch: Stopwatch
) -> ProbeReading:
    async with connect(
        _presented(place, target.host),
        sock=connected,
        ssl=trust.verifying(guard.ca_file) if place.parts.scheme == "wss" else None,
        open_timeout=_left(target, watch),
        close_timeout=1,
        ping_interval=None,
        max_size=MAX_FRAME,
        max_queue=4,
        compression=None,
        proxy=None,
        user_agent_header=USER_AGENT,
    ) as connection:
        return await _after_handshake(connection, target, watch.ms)


def _presented(place: Place, host: str) -> str:
    """Return the URL with the name that the server is to see; the connection exists already."""
    if not host:
        return urlunsplit(place.parts)
    user, at, _address = place.parts.netloc.rpartition("@")
    return urlunsplit(place.parts._replace(netloc=f"{user}{at}{host}:{place.port}"))


def _refused(error: InvalidStatus, watch: Stopwatch) -> ProbeReading:
    status = error.response.status_code
    where = error.response.headers.get("Location", "")
    redirect = f", redirects to {where}" if where else ""
    return watch.failed(f"handshake refused with HTTP {status}{redirect}", status=status)


async def _after_handshake(connection: ClientConnection, target: Target, handshake_ms: float) -> ProbeReading:
    watch = Stopwatch()
    try:
        async with asyncio.timeout(FIRST_FRAME_S if target.expect_frame else 0.2):
            if target.send:
                await connection.send(target.send)
            await connection.recv()
    except TimeoutError:
        if target.expect_frame:
            return watch.failed(f"no frame within {FIRST_FRAME_S:g} s of the handshake", status=101)
        detail, first = "handshake only, no frame expected", None
    except ConnectionClosed as error:
        code = error.rcvd.code if error.rcvd else 1006
        return watch.failed(f"closed before the first frame: {_closing(error)}", status=101, close_code=code)
    else:
        first = watch.ms
        detail = f"first frame after {first:g} ms"
    return watch.passed(detail, latency_ms=handshake_ms, status=101, first_frame_ms=first)


def _closing(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "connection lost without a close frame"
    return f"code {error.rcvd.code} {error.rcvd.reason}".strip()
