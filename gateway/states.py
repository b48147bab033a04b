"""The states of an upstream session, its legal moves, and what it shows of itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.registrar import Places
from gateway.retry import Breaker


class State(StrEnum):
    """Where a session stands."""

    IDLE = "IDLE"
    TOKEN = "TOKEN"  # noqa: S105 - the name of a state, not a credential
    CONNECTING = "CONNECTING"
    LOGIN = "LOGIN"
    LIVE = "LIVE"
    STALE = "STALE"
    BACKOFF = "BACKOFF"
    PARKED = "PARKED"


_ENDS = frozenset({State.BACKOFF, State.PARKED, State.IDLE})
MOVES: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.BACKOFF, State.PARKED}),
    State.BACKOFF: frozenset({State.TOKEN, State.PARKED, State.IDLE}),
    State.TOKEN: _ENDS | {State.CONNECTING},
    State.CONNECTING: _ENDS | {State.LOGIN},
    State.LOGIN: _ENDS | {State.LIVE},
    State.LIVE: _ENDS | {State.STALE},
    State.STALE: _ENDS | {State.LIVE},
    State.PARKED: frozenset({State.TOKEN, State.BACKOFF, State.IDLE}),
}
CONNECTED = frozenset({State.LOGIN, State.LIVE, State.STALE})
LIVELY = frozenset({State.LIVE, State.STALE})
TRYING = CONNECTED | {State.TOKEN, State.CONNECTING}


class IllegalMove(RuntimeError):
    """The shell reported an event that is impossible in the session's state."""


@dataclass(frozen=True, slots=True)
class View:
    """What a session shows. Times are monotonic seconds."""

    state: State
    since: float
    attempts: int
    attempts_total: int
    next_attempt: float | None
    breaker: Breaker
    held: bool
    last_error: str
    places: Places
    rows_in: int
    last_row: float | None
    last_frame: float | None
    market_open: bool

    @property
    def registered(self) -> int:
        """How many topics are registered."""
        return len(self.places.topics)
