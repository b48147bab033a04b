"""Topics that the server accepted and sends nothing of. Pure bookkeeping; times are monotonic seconds.

Kiwoom accepts any code, so that an answer to REG proves nothing: only a row does.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.protocol import Row

#: Seconds between two looks while no other topic brings rows either.
LOOK_EVERY = 10.0


class Silence:
    """Registered topics that have brought no row yet; after ``after`` seconds they count as silent."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._trading: frozenset[str] | None = None
        self.reset()

    def reset(self) -> None:
        """Forget everything that belonged to the connection."""
        self._since: dict[str, float] = {}
        self._repeated: set[str] = set()
        self.due: float | None = None

    def registered(self, topics: Iterable[str], now: float) -> None:
        """Note that the server accepted topics; one that was asked for again keeps its time."""
        for topic in topics:
            self._since.setdefault(topic, now)
        self._plan()

    def removed(self, topics: Iterable[str]) -> None:
        """Note that topics are no longer registered."""
        for topic in topics:
            self._since.pop(topic, None)
            self._repeated.discard(topic)
        self._plan()

    def rows(self, rows: Iterable[Row]) -> None:
        """Note rows: their topics work."""
        if not self._since:
            return
        heard = {row.topic for row in rows}.intersection(self._since)
        if heard:
            self.removed(heard)

    def trading(self, topics: frozenset[str] | None, now: float) -> None:
        """Say which topics' markets trade now (None: all); the others' time starts at their opening."""
        if topics == self._trading:
            return
        before, self._trading = self._trading, topics
        for topic in self._since:
            if before is not None and topic not in before and self._trades(topic):
                self._since[topic] = now
        self._plan()

    def topics(self, now: float) -> tuple[str, ...]:
        """Return the topics that are silent now."""
        return tuple(
            topic
            for topic, since in self._since.items()
            if since + self._after <= now and self._trades(topic)
        )

    def again(self, now: float, *, others_tick: bool) -> tuple[str, ...]:
        """Return the topics to register once more: each once, and only while other topics bring rows."""
        if self.due is None or now < self.due:
            return ()
        if not others_tick:
            self.due = now + LOOK_EVERY
            return ()
        topics = tuple(topic for topic in self.topics(now) if topic not in self._repeated)
        self._repeated.update(topics)
        self._plan()
        return topics

    def _trades(self, topic: str) -> bool:
        return self._trading is None or topic in self._trading

    def _plan(self) -> None:
        waiting = [
            since
            for topic, since in self._since.items()
            if topic not in self._repeated and self._trades(topic)
        ]
        self.due = min(waiting) + self._after if waiting else None
