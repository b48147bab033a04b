"""One client's outgoing frames: bounded, then conflated to the newest row per topic, then given up. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from gateway.config import FeedConfig
from gateway.feed_frames import Close, System, Verdict, count_rows, last_row, real, system

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


class ClientQueue:
    """What waits to be sent to one client; at most ``queue_frames`` frames or ``queue_bytes`` bytes of rows.

    ``wake`` is called whenever there is something to take; ``now`` are monotonic seconds.
    """

    def __init__(self, config: FeedConfig, wake: Callable[[], None]) -> None:
        self._config = config
        self._wake = wake
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._newest: dict[str, bytes] = {}
        self._dropped = 0
        self._over_since: float | None = None
        self.dropped_total = 0
        self.rows_out = 0
        self.verdict: Verdict | None = None

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
            return
        self._append(frame)

    def rows(self, frame: str, rows: Sequence[TopicRows], now: float) -> None:
        """Queue ``frame``, made of ``rows``; over the limit, keep only the newest row of each topic."""
        full = len(self._frames) >= self._config.queue_frames
        if self._over_since is None and not full and self._bytes + len(frame) <= self._config.queue_bytes:
            self._append(frame)
            self.rows_out += sum(count_rows(row) for _, row in rows)
            return
        if self._over_since is None:
            self._over_since = now
        for topic, row in rows:
            dropped = count_rows(row) - (topic not in self._newest)
            self._dropped += dropped
            self.dropped_total += dropped
            self._newest.pop(topic, None)
            self._newest[topic] = last_row(row)
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
        if not self._frames and self._over_since is not None:
            self._release()
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    def _release(self) -> None:
        if self._dropped:
            self._append(system(System.DROPPED, "dropped", dropped=self._dropped))
        for part in chunks(self._newest.items()):
            self._append(real(row for _, row in part))
        self.rows_out += len(self._newest)
        self._newest.clear()
        self._dropped = 0
        self._over_since = None

    def _append(self, frame: str) -> None:
        self._frames.append(frame)
        self._bytes += len(frame)
        self._wake()

    def _give_up(self) -> None:
        if self.verdict is None:
            self.verdict = Verdict(Close.TOO_SLOW, "too slow", SLOW_RETRY)
            self._wake()
