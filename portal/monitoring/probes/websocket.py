"""WebSocket probe: the handshake is not enough, a frame has to come."""

from __future__ import annotations

from datetime import UTC, datetime

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.sync.client import ClientConnection, connect

from portal.monitoring.probes.base import ProbeReading, Stopwatch, Target

#: Seconds after the handshake in which the first frame has to come.
FIRST_FRAME_S = 5.0
#: Bytes of a frame that are accepted.
MAX_FRAME = 64 * 1024


def probe_websocket(target: Target) -> ProbeReading:
    """Shake hands with ``target.url``, send ``target.send`` if there is any, and wait for a frame."""
    watch = Stopwatch()
    try:
        with connect(
            target.url,
            open_timeout=target.timeout_s,
            close_timeout=1,
            ping_interval=None,
            max_size=MAX_FRAME,
            max_queue=4,
            compression=None,
            proxy=None,
            user_agent_header="bonghwa-probe",
        ) as connection:
            return _after_handshake(connection, target, watch.ms)
    except InvalidStatus as error:
        status = error.response.status_code
        return watch.failed(f"handshake refused with HTTP {status}", status=status)
    except TimeoutError:
        return watch.failed(f"no handshake within {target.timeout_s:g} s")
    except ConnectionClosed as error:
        return watch.failed(f"closed: {_closing(error)}", close_code=error.rcvd.code if error.rcvd else 1006)
    except (InvalidHandshake, InvalidURI, OSError, ValueError) as error:
        return watch.failed(str(error) or type(error).__name__)


def _after_handshake(connection: ClientConnection, target: Target, handshake_ms: float) -> ProbeReading:
    watch = Stopwatch()
    try:
        if target.send:
            connection.send(target.send)
        connection.recv(timeout=FIRST_FRAME_S if target.expect_frame else 0.2)
    except TimeoutError:
        if target.expect_frame:
            return watch.failed(f"no frame within {FIRST_FRAME_S:g} s of the handshake")
        detail, first = "handshake only, no frame expected", None
    except ConnectionClosed as error:
        code = error.rcvd.code if error.rcvd else 1006
        return watch.failed(f"closed before the first frame: {_closing(error)}", close_code=code)
    else:
        first = watch.ms
        detail = f"first frame after {first:g} ms"
    return ProbeReading(
        ok=True,
        at=datetime.now(UTC),
        latency_ms=handshake_ms,
        detail=detail,
        status=101,
        first_frame_ms=first,
    )


def _closing(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "connection lost without a close frame"
    return f"code {error.rcvd.code} {error.rcvd.reason}".strip()
