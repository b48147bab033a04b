"""What a probe is asked and what it answers. A target that fails is data; an exception is a bug of ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from portal.monitoring.logs import safe_line
from portal.monitoring.probes.guard import Guard

MAX_DETAIL = 300
#: Bounds of one probe's time limit in seconds.
TIMEOUT_RANGE = (0.1, 10.0)
USER_AGENT = "bonghwa-probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReading:
    """One probe. ``ok`` is ``None`` when it says nothing about the target: refused, or no network of ours.

    ``latency_ms`` is the time to the full answer (HTTP), to the handshake (WebSocket, TLS) or to the
    connection (TCP); ``first_frame_ms`` counts from the handshake's end; ``status`` is the HTTP status seen;
    ``expires_at`` is the certificate's end; ``None`` for one without (RFC 5280: the year 9999), and for one
    that another zone could not show or a database not give back.
    """

    ok: bool | None
    at: datetime
    latency_ms: float | None
    detail: str
    status: int | None = None
    first_frame_ms: float | None = None
    close_code: int | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if self.expires_at is not None and not 1970 <= self.expires_at.year < 9999:
            object.__setattr__(self, "expires_at", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to probe and what is expected of it.

    ``host`` is the name to present (Host header, TLS server name) when ``url`` connects to an address.
    """

    url: str
    kind: str = "http"
    timeout_s: float = 10.0
    host: str = ""
    expected_status: int = 200
    body_contains: str = ""
    expect_frame: bool = True
    send: str = ""
    min_days: int = 14


class Probe(Protocol):
    """One way of asking a target."""

    def __call__(self, target: Target, guard: Guard) -> ProbeReading:
        """Ask once; bounded by ``target.timeout_s``. ``guard`` decides which addresses may be reached."""
        ...


class Stopwatch:
    """Milliseconds since its making."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def ms(self) -> float:
        """Milliseconds so far."""
        return round((time.monotonic() - self._start) * 1000, 1)

    def passed(self, detail: str, *, latency_ms: float | None = None, **seen: object) -> ProbeReading:
        """Return a reading that passed; its latency is the time so far unless given."""
        latency = self.ms if latency_ms is None else latency_ms
        return _reading(True, latency, detail, seen)

    def failed(self, detail: str, **seen: object) -> ProbeReading:
        """Return a failed reading; ``detail`` may hold the target's words."""
        return _reading(False, self.ms, detail, seen)


def unknown(detail: str) -> ProbeReading:
    """Return a reading that says nothing about the target, with the reason."""
    return _reading(None, None, detail, {})


def _reading(ok: bool | None, latency_ms: float | None, detail: str, seen: dict[str, object]) -> ProbeReading:
    return ProbeReading(
        ok=ok,
        at=datetime.now(UTC),
        latency_ms=latency_ms,
        detail=safe_line(detail.replace("\n", " "))[:MAX_DETAIL],
        **seen,  # type: ignore[arg-type] # the callers name the reading's own fields
    )
