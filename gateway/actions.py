"""What a session asks its shell to do: plain values, so that decisions can be tested without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.protocol import Row


@dataclass(frozen=True, slots=True)
class FetchToken:
    """Get a token; ``renew`` says that the one at hand was rejected."""

    renew: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Open the WebSocket."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send one text frame. The text may hold a token, so it never shows in a repr."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Give up whatever is under way (token request, handshake, open socket) and report nothing about it."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand rows to the bus."""

    rows: tuple[Row, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Log:
    """Write one line; ``level`` is a number of :mod:`logging`."""

    level: int
    message: str


@dataclass(frozen=True, slots=True)
class Record:
    """Note an attempt: ``started`` is monotonic seconds; a second record of a number replaces the first."""

    number: int
    started: float
    delay_before: float
    outcome: str
    reason: str = ""
    live_for: float = 0.0


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish the status now: what clients or the portal are told has changed."""


Action = FetchToken | Connect | Send | Disconnect | Publish | Log | Record | Announce
