"""When a slot's rows did not reach the clients: from when, until when, of which topics. Pure.

A gap begins with the last moment at which everything was known to flow. It ends with the first row after the
connection is live, Redis answers and everything with a place is registered again. Markets may be quiet: when
no row comes within ``GRACE`` seconds the gap ended with the answer to the last registration.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

import orjson

from gateway.status import Gap

#: Seconds to wait for a row before an answered registration counts as the end.
GRACE = 10.0
#: Topics named by a gap or handed to the next owner; the number of all is kept beside them.
MAX_TOPICS = 1_000


class Cause(StrEnum):
    """Why rows did not flow."""

    DISCONNECTED = "disconnected"
    STALE = "stale"
    OWNER = "owner"
    REDIS = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What an owner leaves for the next: the unix time until which rows of ``topics`` were delivered.

    ``since`` and ``reason`` are those of a gap that is still open.
    """

    at: float
    topics: tuple[str, ...]
    since: float | None = None
    reason: str = ""

    def encode(self) -> bytes:
        """Return JSON for Redis."""
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, raw: bytes | str) -> Flow:
        """Read :meth:`encode`'s output.

        Raises:
            ValueError: it is not such JSON.
        """
        data = orjson.loads(raw)
        try:
            since = None if data["since"] is None else float(data["since"])
            topics = tuple(map(str, data["topics"]))
            return cls(at=float(data["at"]), topics=topics, since=since, reason=str(data["reason"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a flow: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A slot at one moment; times are unix seconds.

    ``broken`` says why rows do not flow, ``since`` from when if that is known. ``topics`` are registered,
    also those that nobody wants at the moment: wishes may have gone with Redis. ``whole_since`` is the time
    of the last answer after which everything with a place is registered on a live connection. ``last_row``
    is the time of the newest row.
    """

    at: float
    topics: tuple[str, ...]
    broken: Cause | None = None
    since: float | None = None
    whole_since: float | None = None
    last_row: float | None = None


class GapWatch:
    """Follows one slot. Before rows have flowed once there is nothing to miss."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._at: float | None = None
        self._topics: tuple[str, ...] = ()
        self._since: float | None = None
        self._reason = ""

    @property
    def open(self) -> bool:
        """Whether a gap is open."""
        return self._since is not None

    @property
    def flow(self) -> Flow | None:
        """What the next owner has to know."""
        if self._at is None:
            return None
        return Flow(at=self._at, topics=self._topics[:MAX_TOPICS], since=self._since, reason=self._reason)

    def inherit(self, flow: Flow) -> None:
        """Begin where an earlier owner ended."""
        self._at, self._topics = flow.at, flow.topics
        self._since = flow.at if flow.since is None else flow.since
        self._reason = flow.reason or Cause.OWNER

    def look(self, seen: Look) -> Gap | None:
        """Take in the slot's present; returns the gap that ended, if one did."""
        if self._since is None:
            self._begin(seen)
            return None
        until = None if seen.broken else _until(seen, self._since)
        if until is None:
            return None
        missed = sorted(set(self._topics).intersection(seen.topics))
        since, reason = self._since, self._reason
        self._since, self._reason = None, ""
        self._at, self._topics = seen.at, seen.topics
        if not missed:
            return None
        return Gap(
            slot=self._slot,
            since=since,
            until=max(since, until),
            topics=tuple(missed[:MAX_TOPICS]),
            count=len(missed),
            reason=reason,
        )

    def _begin(self, seen: Look) -> None:
        if seen.broken is None:
            if seen.topics or self._at is not None:
                self._at, self._topics = seen.at, seen.topics
        elif self._at is not None:
            self._since = self._at if seen.since is None else min(self._at, seen.since)
            self._reason = seen.broken


def _until(seen: Look, since: float) -> float | None:
    """Return when rows flowed again, or None while that is not known."""
    if seen.whole_since is None:
        return None
    if seen.last_row is not None and seen.last_row > since and seen.last_row >= seen.whole_since:
        return seen.last_row
    return seen.whole_since if seen.at >= seen.whole_since + GRACE else None
