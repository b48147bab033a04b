"""The Engine's log stream: frames to lines, with a cursor. Pure; bytes in, a :class:`LogWindow` out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from portal.monitoring.runtimes.base import MAX_LINE, MAX_LOG_BYTES, MAX_LOG_LINES, NEWEST, LogWindow
from portal.monitoring.runtimes.docker_api import moment

#: Lines asked for at first; the Engine reads backwards from the end, so a small number keeps it cheap.
FIRST_TAIL = 500
#: Seconds of log that a container seen for the first time is judged by.
FIRST_WINDOW_S = 30.0
_HEADER = 8


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the last window ended: its newest timestamp, when it was read (unix s), and its line count."""

    last: str = ""
    read_at: float | None = None
    lines: int = 0

    def encode(self) -> str:
        """Return it as text."""
        return f"{self.last}|{self.read_at or 0:.3f}|{self.lines}"

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read :meth:`encode`'s output; ``NEWEST`` begins at 1970, anything else is an empty cursor."""
        if text == NEWEST:
            return cls(read_at=1.0)
        try:
            last, read_at, lines = text.split("|")
            return cls(last, float(read_at) or None, int(lines))
        except ValueError:
            return cls()

    def since(self, now: float) -> str:
        """Return the Engine's ``since`` (unix seconds with nanoseconds)."""
        if at := moment(self.last):
            fraction = self.last.partition(".")[2].rstrip("Z") or "0"
            return f"{int(at.timestamp())}.{fraction[:9]:0<9}"
        return f"{(self.read_at or now - FIRST_WINDOW_S):.9f}"

    @property
    def tail(self) -> int:
        """Lines to ask for: twice the last window's, within the bounds."""
        return min(MAX_LOG_LINES, max(FIRST_TAIL, 2 * self.lines))


def payload(chunks: Iterable[bytes], *, limit: int = MAX_LOG_BYTES) -> tuple[bytes, bool]:
    """Join the stream's payload, stopping at ``limit`` bytes; the second value says whether it stopped.

    With timestamps asked for, a terminal's raw stream begins with a digit and a multiplexed one with a
    frame header, so the two cannot be mistaken for each other.
    """
    raw = bytearray()
    capped = False
    for chunk in chunks:
        raw += chunk
        if len(raw) >= limit:
            capped = True
            break
    if not raw or raw[0] > 2:
        return bytes(raw), capped
    joined = bytearray()
    position = 0
    while position + _HEADER <= len(raw):
        length = int.from_bytes(raw[position + 4 : position + _HEADER], "big")
        joined += raw[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
    return bytes(joined), capped


def window(raw: bytes, capped: bool, *, cursor: Cursor, limit: int, now: float) -> LogWindow:
    """Return the lines of ``raw`` that are newer than ``cursor``; a full window counts as capped."""
    stamped = [line.partition(b" ") for line in raw.split(b"\n") if line]
    fresh = [
        (stamp.decode("ascii", "replace"), text)
        for stamp, _, text in stamped
        if stamp.decode("ascii", "replace") > cursor.last
    ]
    capped = capped or len(stamped) >= limit
    first, last = (moment(fresh[0][0]), moment(fresh[-1][0])) if fresh else (None, None)
    span: float | None
    if capped and first and last:
        span = max(0.001, (last - first).total_seconds())
    elif cursor.read_at:
        span = max(1.0, now - cursor.read_at)
    else:
        span = max(1.0, now - first.timestamp()) if first else None
    newest = fresh[-1][0] if fresh and last else cursor.last
    return LogWindow(
        lines=[text[: 4 * MAX_LINE].decode("utf-8", "replace")[:MAX_LINE] for _, text in fresh],
        span_s=span,
        cursor=Cursor(newest, now, len(fresh)).encode(),
        capped=capped,
    )


def unix_now() -> float:
    """Return the wall clock in unix seconds."""
    return datetime.now(UTC).timestamp()
