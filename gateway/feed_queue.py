"""One client's outgoing frames: bounded, then conflated to the newest row per topic, then given up. Pure.

A frame goes straight to the connection's sink while that takes it; only what it does not take waits here.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from gateway.config import FeedConfig
from gateway.feed_frames import Close, System, Verdict, last_row, real, system
from gateway.feed_sink import Frame, Sink

#: A frame ends before it grows over this many bytes; common clients refuse frames over 1 MiB.
FRAME_BYTES = 64 * 1024
#: Replies and announcements that may wait beyond the limit for rows.
CONTROL_RESERVE = 64
#: Seconds that a client closed for being slow is told to wait.
SLOW_RETRY = 5.0

#: A topic and its ``ROW,ROW``.
TopicRows = tuple[str, bytes]


def chunks(rows: Iterable[TopicRows]) -> Iterator[list[TopicRows]]:
    """Split (topic, ``ROW,ROW``) pairs so that each part makes one frame of about ``FRAME_BYTES`` at most."""
    part: list[TopicRows] = []
    size = 0
    for topic, row in rows:
        if part and size + len(row) > FRAME_BYTES:
            yield part
            part, size = [], 0
        part.append((topic, row))
        size += len(row) + 1
    if part:
        yield part


def _refuse(_frame: Frame) -> bool:
    return False


class ClientQueue:
    """What waits to be sent to one client; at most ``queue_frames`` frames or ``queue_bytes`` bytes of rows.

    With a ``sink``, :meth:`drain` has to be called whenever it has room again. Without one ``wake`` is
    called whenever there is something to :meth:`take`. ``now`` are monotonic seconds.
    """

    __slots__ = (
        *("_bytes", "_config", "_dropped", "_frames", "_newest", "_offer", "_over_since", "_sink", "_wake"),
        *("dropped_total", "rows_out", "verdict", "waiting_since"),
    )

    def __init__(self, config: FeedConfig, wake: Callable[[], None], sink: Sink | None = None) -> None:
        self._config = config
        self._wake = wake
        self._sink = sink
        self._offer = sink.offer if sink is not None else _refuse
        # An empty deque takes 760 bytes, and nothing waits for most clients most of the time.
        self._frames: deque[Frame] | tuple[()] = ()
        self._bytes = 0
        self._newest: dict[str, bytes] = {}
        self._dropped = 0
        self._over_since: float | None = None
        self.dropped_total = 0
        self.rows_out = 0
        self.verdict: Verdict | None = None
        #: Monotonic seconds since when something has been waiting; None while nothing does.
        self.waiting_since: float | None = None

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> int:
        """Bytes waiting, conflated rows included."""
        return self._bytes + sum(map(len, self._newest.values()))

    @property
    def conflating(self) -> bool:
        """Whether rows are being conflated now."""
        return self._over_since is not None

    def control(self, frame: str) -> None:
        """Queue a reply, PING or announcement; these keep their order and are never dropped."""
        if len(self._frames) >= self._config.queue_frames + CONTROL_RESERVE:
            self._give_up()
        else:
            # What the sink takes may not overtake what waits.
            control, waiting = Frame(frame.encode()), self._frames or self._over_since is not None
            if waiting or not self._offer(control):
                self._wait(control)

    def rows(self, frame: Frame, rows: Sequence[TopicRows], now: float) -> None:
        """Send ``frame``, made of ``rows``; over the limit, keep only the newest row of each topic."""
        if self._over_since is None:
            # The way of every client that reads, so it is short.
            if not self._frames and self._offer(frame):
                self.rows_out += frame.rows
                return
            full = len(self._frames) >= self._config.queue_frames
            if not full and self._bytes + len(frame) <= self._config.queue_bytes:
                self._wait(frame)
                self.rows_out += frame.rows
                return
            self._over_since = now
        if frame.newest is None:
            frame.newest = {topic: last_row(row) for topic, row in rows}
        known = len(self._newest)
        self._newest |= frame.newest
        dropped = frame.rows - (len(self._newest) - known)
        self._dropped += dropped
        self.dropped_total += dropped
        self.check(now)

    def forget(self, topics: frozenset[str]) -> None:
        """Drop conflated rows of topics that are no longer wanted."""
        for topic in topics:
            self._newest.pop(topic, None)

    def check(self, now: float) -> None:
        """Give up on a client that has been over the limit for ``slow_after`` seconds."""
        if self._over_since is not None and now - self._over_since >= self._config.slow_after:
            self._give_up()

    def take(self) -> str | None:
        """Return the next frame to send, or None when nothing waits."""
        frame = self._next()
        if frame is None:
            return None
        self._pop()
        return frame.text

    def drain(self) -> None:
        """Hand over what waits for as long as the sink takes it."""
        while self._sink is not None and (frame := self._next()) is not None and self._offer(frame):
            self._pop()

    def _next(self) -> Frame | None:
        if not self._frames and self._over_since is not None:
            self._release()
        return self._frames[0] if self._frames else None

    def _pop(self) -> None:
        if isinstance(self._frames, deque):
            self._bytes -= len(self._frames.popleft())
        if not self._frames:
            self._frames = ()
            if not self._newest:
                self.waiting_since = None

    def _release(self) -> None:
        if self._dropped:
            self._keep(Frame(system(System.DROPPED, "dropped", dropped=self._dropped).encode()))
        for part in chunks(self._newest.items()):
            self._keep(real(row for _, row in part))
        self.rows_out += len(self._newest)
        self._newest.clear()
        self._dropped = 0
        self._over_since = None

    def _wait(self, frame: Frame) -> None:
        self._keep(frame)
        if self._sink is None:
            self._wake()

    def _keep(self, frame: Frame) -> None:
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()
        if not isinstance(self._frames, deque):
            self._frames = deque()
        self._frames.append(frame)
        self._bytes += len(frame)

    def _give_up(self) -> None:
        if self.verdict is None:
            self.verdict = Verdict(Close.TOO_SLOW, "too slow", SLOW_RETRY)
