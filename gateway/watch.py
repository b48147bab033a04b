"""Is this connection alive, is it stale, has it proved itself? Pure bookkeeping of its frames."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config import UpstreamConfig
from gateway.protocol import Row

#: PINGs that may be missed, as a multiple of the observed interval.
PING_FACTOR = 4.5
#: Longest silence that is taken for a living connection, however far apart its PINGs were, in seconds.
SILENCE_CAP = 180.0
#: Complaints of one kind that may be logged again after this many seconds.
COMPLAIN_EVERY = 60.0
#: Topics remembered as having ticked; more than every key's items together.
MAX_TICKED = 5_000


class Watch:
    """Times are monotonic seconds. Outliving a connection: which topics ever ticked, last row, last frame."""

    def __init__(self, config: UpstreamConfig) -> None:
        self._config = config
        self._ticked: dict[str, None] = {}
        self._reconnected_when_stale = False
        self._complaint = self._garbage = -COMPLAIN_EVERY
        self.last_row: float | None = None
        self.last_frame: float | None = None
        self.reset()

    def reset(self) -> None:
        """Begin a new attempt."""
        self.stable = False
        self._frame = 0.0
        self._live_since: float | None = None
        self._fresh_since = 0.0
        self._ping: float | None = None
        self._ping_interval = 0.0
        self._row_seen = False

    def opened(self, now: float) -> None:
        """Note that the socket is open."""
        self._frame = now

    def live(self, now: float) -> None:
        """Note that LOGIN succeeded."""
        self._live_since = self._fresh_since = now

    def frame(self, now: float) -> None:
        """Note a well-formed frame."""
        self._frame = self.last_frame = now

    def ping(self, now: float) -> None:
        """Note a PING and the interval since the last one."""
        if self._ping is not None:
            self._ping_interval = now - self._ping
        self._ping = now

    def rows(self, now: float, rows: Iterable[Row]) -> None:
        """Note rows: they make the connection fresh and may make it stable."""
        self.last_row = self._fresh_since = now
        self._row_seen = True
        self._reconnected_when_stale = False
        for row in rows:
            self._ticked[row.topic] = None
        while len(self._ticked) > MAX_TICKED:
            del self._ticked[next(iter(self._ticked))]

    def market_changed(self, now: float) -> None:
        """Start counting staleness anew: nobody expects rows from before the opening."""
        self._fresh_since = now

    def garbage(self, now: float) -> bool:
        """Note a malformed frame; true when it may be logged."""
        due = now - self._garbage >= COMPLAIN_EVERY
        if due:
            self._garbage = now
        return due

    def complained(self, now: float) -> bool:
        """Note a refused registration; true when it may be logged."""
        due = now - self._complaint >= COMPLAIN_EVERY
        if due:
            self._complaint = now
        return due

    def ticked_any(self, topics: Iterable[str]) -> bool:
        """Return whether any of ``topics`` ever brought a row."""
        return any(topic in self._ticked for topic in topics)

    def ticks(self, now: float) -> bool:
        """Return whether rows of any topic arrive."""
        return self.last_row is not None and now - self.last_row < self._config.stale_after

    def silence(self, now: float) -> float:
        """Return the seconds since the last frame."""
        return now - self._frame

    def dead(self, now: float) -> bool:
        """Return whether the connection has been silent for too long."""
        return self.silence(now) >= self._limit()

    def stale(self, now: float, possible: bool) -> bool:
        """Return whether rows stopped although they must come; PINGs still arrive, else it is dead."""
        return possible and now - self._fresh_since >= self._config.stale_after

    def worth_reconnecting(self, now: float, possible: bool) -> bool:
        """Return true once per silence of the rows, after twice the stale time.

        A registration lost by the server is cured by reconnecting; a quiet market is not, so once is enough.
        """
        if self._reconnected_when_stale or not possible:
            return False
        if now - self._fresh_since < 2 * self._config.stale_after:
            return False
        self._reconnected_when_stale = True
        return True

    def became_stable(self, now: float, *, quiet: bool) -> bool:
        """Return true once, when the connection has proved itself and the backoff may be forgotten."""
        if (
            self.stable
            or self._live_since is None
            or now - self._live_since < self._config.retry.stable_after
        ):
            return False
        self.stable = self._row_seen or (quiet and self._ping is not None)
        return self.stable

    def live_for(self, now: float) -> float:
        """Return the seconds since LOGIN succeeded, 0 before."""
        return 0.0 if self._live_since is None else now - self._live_since

    def due(self, after: float, stale_possible: bool) -> float:
        """Return the first moment later than ``after`` at which an answer above changes without a frame."""
        due = [self._frame + self._limit()]
        if not self.stable and self._live_since is not None:
            due.append(self._live_since + self._config.retry.stable_after)
        if stale_possible:
            due += [self._fresh_since + times * self._config.stale_after for times in (1, 2)]
        return min((at for at in due if at > after), default=after + self._config.silence_floor)

    def _limit(self) -> float:
        return max(self._config.silence_floor, min(SILENCE_CAP, PING_FACTOR * self._ping_interval))
