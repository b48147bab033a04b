"""What a probe answers with. A target that fails is data; an exception is a bug of ours."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from portal.monitoring.logs import safe_line

MAX_DETAIL = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReading:
    """One probe. ``latency_ms`` is the time to the full answer (HTTP) or to the handshake (WebSocket).

    ``status`` is the HTTP status seen, ``first_frame_ms`` counts from the handshake's end.
    """

    ok: bool
    at: datetime
    latency_ms: float | None
    detail: str
    status: int | None = None
    first_frame_ms: float | None = None
    close_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What to probe and what is expected of it."""

    url: str
    timeout_s: float = 10.0
    expected_status: int = 200
    expect_frame: bool = True
    send: str = ""


class Probe(Protocol):
    """One way of asking a target."""

    def __call__(self, target: Target) -> ProbeReading:
        """Ask once; bounded by ``target.timeout_s``."""
        ...


class Stopwatch:
    """Milliseconds since its making."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def ms(self) -> float:
        """Milliseconds so far."""
        return round((time.monotonic() - self._start) * 1000, 1)

    def failed(
        self, detail: str, *, status: int | None = None, close_code: int | None = None
    ) -> ProbeReading:
        """Return a failed reading; ``detail`` may hold the target's words."""
        return ProbeReading(
            ok=False,
            at=datetime.now(UTC),
            latency_ms=self.ms,
            detail=safe_line(detail.replace("\n", " "))[:MAX_DETAIL],
            status=status,
            close_code=close_code,
        )
