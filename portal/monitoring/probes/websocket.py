"""WebSocket probe: the handshake is not enough, a frame has to come."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlunsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

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
        left = max(0.05, target.timeout_s - watch.ms / 1000)
        with (
            _connected(guard, place, left) as connected,
            connect(
                _presented(place, target.host),
                sock=connected,
                ssl=trust.verifying(guard.ca_file) if place.parts.scheme == "wss" else None,
                open_timeout=max(0.05, target.timeout_s - watch.ms / 1000),
                close_timeout=1,
                ping_interval=None,
                max_size=MAX_FRAME,
                max_queue=4,
                compression=None,
                proxy=None,
                user_agent_header=USER_AGENT,
            ) as connection,
        ):
            return _after_handshake(connection, target, watch.ms)
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


def _connected(guard: Guard, place: Place, timeout: float) -> socket.socket:
    found = guard.connect(place.host, place.port, timeout)
    found.settimeout(None)  # the library keeps the time from here on
    return found


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


def _after_handshake(connection: ClientConnection, target: Target, handshake_ms: float) -> ProbeReading:
    watch = Stopwatch()
    try:
        if target.send:
            connection.send(target.send)
        connection.recv(timeout=FIRST_FRAME_S if target.expect_frame else 0.2)
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
