"""What end users are told about the feed, from the upstream's status and the bus. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.feed_frames import System, system
from gateway.protocol import KST
from gateway.status import FeedState, GatewayStatus

#: A status not repeated for this long is gone, in seconds (the TTL of the key).
STATUS_TTL = 15.0

#: Seconds after which a silent slot's items have moved to another, or are named as having no place.
MOVED_AFTER = 60.0

_CODES = {
    FeedState.LIVE: System.LIVE,
    FeedState.RECONNECTING: System.RECONNECTING,
    FeedState.STALE: System.STALE,
    FeedState.PARKED: System.PARKED,
    FeedState.CLOSED: System.CLOSED,
}
#: Several upstream sessions: the worst one is told, so that no frozen price looks live.
_WORST_FIRST = (
    FeedState.PARKED,
    FeedState.RECONNECTING,
    FeedState.STALE,
    FeedState.CLOSED,
    FeedState.LIVE,
)


def kst(at: float | None) -> str | None:
    """Return unix seconds as ISO-8601 Korean time."""
    return None if at is None else datetime.fromtimestamp(at, KST).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """The feed's state at one moment. ``as_of`` is the unix time the data is known to be good for."""

    state: FeedState
    as_of: float | None = None
    retry_in_s: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def frame(self, *, full: bool) -> str:
        """Return the SYSTEM frame; ``full`` adds what clients get who asked with ``"status": true``."""
        extra = self.details if full else {}
        return system(
            _CODES[self.state],
            self.state.value,
            as_of=kst(self.as_of),
            retry_in_s=None if self.retry_in_s is None else round(self.retry_in_s, 1),
            **extra,
        )

    def differs(self, other: FeedView, *, full: bool) -> bool:
        """Tell whether clients need to hear of ``other`` after this one."""
        return self.state != other.state or (full and self.details != other.details)


class StateTracker:
    """Keeps each slot's newest status; ``now`` are monotonic seconds, ``wall`` unix seconds."""

    def __init__(self, wall: float) -> None:
        self._statuses: dict[str, tuple[GatewayStatus, float]] = {}
        self._fences: frozenset[int] = frozenset()
        self._newest = 0
        self._bus_up = False
        self._heard = wall

    @property
    def heard(self) -> float:
        """When the gateway was last heard of, in unix seconds."""
        return self._heard

    def accepts(self, fence: int) -> bool:
        """Tell whether rows of ``fence`` may pass: a present owner's, or a new one's.

        Fencing numbers grow over all slots, so that anything older than the newest is either known or over.
        """
        return fence in self._fences or fence > self._newest

    def bus(self, up: bool) -> None:
        """Note whether Redis answers."""
        self._bus_up = up

    def update(self, status: GatewayStatus, now: float, wall: float) -> None:
        """Take in a status; one of an owner that has been replaced is ignored.

        Those of one owner come in their order, whatever its clock says.
        """
        known = self._statuses.get(status.slot)
        if known is not None and status.fence < known[0].fence:
            return
        self._statuses[status.slot] = (status, now)
        self._fences = frozenset(known.fence for known, _ in self._statuses.values())
        self._newest = max(self._fences)
        self._heard = wall

    def view(self, now: float, wall: float) -> FeedView:
        """Return the state to tell; without a fresh status it is never live.

        A slot that carries nothing says nothing about the rows: its items are with the others.
        """
        if not self._bus_up:
            return FeedView(state=FeedState.RECONNECTING, as_of=self._heard, details={"cause": "bus"})
        known = [item for item in self._statuses.values() if now - item[1] < MOVED_AFTER]
        known = [item for item in known if item[0].wanted != 0] or known
        fresh = [item for item in known if now - item[1] < STATUS_TTL]
        if not fresh or len(fresh) < len(known):
            return FeedView(state=FeedState.RECONNECTING, as_of=self._heard, details={"cause": "gateway"})
        status, heard = min(fresh, key=lambda item: _WORST_FIRST.index(item[0].feed))
        retry = status.next_retry_s
        return FeedView(
            state=status.feed,
            as_of=status.last_row_at or status.since,
            retry_in_s=None if retry is None else max(0.0, retry - (now - heard)),
            details={
                "since": kst(status.since),
                "session": status.session,
                "attempts": status.attempts,
                "breaker": status.breaker,
                "mode": status.mode,
                "unplaced": status.unplaced,
            },
        )
