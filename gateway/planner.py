"""Which topics to register where and when. Pure: wanted against acknowledged in, batches out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from gateway.protocol import Direction, Verdict, split_topic

#: Seconds during which topics of a refused batch are left alone.
REFUSED_PAUSE = 60.0
#: Seconds to wait after the server said that frames come too fast, and the longest gap between frames.
SLOW_PAUSE = 2.0
MAX_GAP = 2.0
#: Seconds after which a connection tries again for more items than the server allowed the last time.
CAP_KEPT = 3600.0


@dataclass(frozen=True, slots=True)
class Batch:
    """One REG or REMOVE frame: the cross product of ``items`` and ``types``."""

    direction: Direction
    items: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def topics(self) -> frozenset[str]:
        """The topics it covers."""
        return frozenset(f"{kind}:{item}" for kind in self.types for item in self.items)


class Planner:
    """Registrations of one connection. An item takes one place whatever its types.

    Args: ``cap`` unique items, ``size`` items a frame, ``rate`` frames a second, ``linger`` seconds that a
    topic nobody wants stays registered.
    """

    def __init__(self, *, cap: int, size: int, rate: float, linger: float) -> None:
        self._configured_cap = cap
        self._configured_size = size
        self._gap_floor = 1.0 / rate
        self._linger = linger
        self._wanted: dict[str, None] = {}
        self._leaving: dict[str, float] = {}
        self.cap = cap
        self._cap_learnt_at = 0.0
        self.reset()

    def reset(self, now: float = 0.0) -> None:
        """Forget all registrations: they belong to a connection, and that one is gone.

        A cap that the server taught is remembered for a while, so that its overflow stays with other keys.
        """
        if now - self._cap_learnt_at >= CAP_KEPT:
            self.cap = self._configured_cap
        self._size = self._configured_size
        self._gap = self._gap_floor
        self._next_frame = 0.0
        self.registered: set[str] = set()
        self._asked: set[str] = set()
        self._removing: set[str] = set()
        self._refused: dict[str, float] = {}
        self._repeats: set[str] = set()
        self._leaving.clear()
        self._due: float | None = None
        self._known = False  # whether _due still holds: looking for work on every frame would cost too much

    def want(self, topics: Iterable[str], now: float, elsewhere: Set[str] = frozenset()) -> None:
        """Set what clients want, in order of arrival.

        Items that another connection carries (``elsewhere``) do not linger: their rows would come twice.
        """
        topics, self._known = dict.fromkeys(topics), False
        for topic in self._wanted:
            if topic not in topics and (topic in self.registered or topic in self._asked):
                self._leaving.setdefault(topic, now + self._linger)
        if elsewhere:
            for topic, at in self._leaving.items():
                if at > now and split_topic(topic)[1] in elsewhere:
                    self._leaving[topic] = now
        kept = {topic: None for topic in self._wanted if topic in topics}
        self._wanted = kept | topics
        for topic in self._wanted:
            self._leaving.pop(topic, None)

    @property
    def wanted(self) -> frozenset[str]:
        """What clients want."""
        return frozenset(self._wanted)

    @property
    def free(self) -> int:
        """Places for further items."""
        return max(0, self._room())

    @property
    def settled(self) -> bool:
        """Whether all that is wanted and has a place is registered."""
        return not self._asked and not self._addable(float("-inf"))

    def repeat(self, topics: Iterable[str]) -> None:
        """Ask for topics once more although they are registered."""
        self._repeats |= self.registered.intersection(topics)
        self._known = False

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Wanted topics that have no place on this connection, in the order in which they came."""
        room, placed = self._room(), self._items()
        missing = []
        for topic in self._wanted:
            item = split_topic(topic)[1]
            if item in placed:
                continue
            if room > 0:
                placed.add(item)
                room -= 1
            else:
                missing.append(topic)
        return tuple(missing)

    def due(self, now: float) -> float | None:
        """Return when :meth:`next` may have something to send (monotonic seconds), or ``None``."""
        if self._known and (self._due is None or self._due > now):
            return self._due
        self._known = True
        if self._addable(now) or self._removable(now):
            self._due = max(now, self._next_frame)
        else:
            later = [at for topic, at in self._refused.items() if topic in self._wanted]
            staying = self.registered - self._removing
            later += [
                max(at, self._refused.get(topic, at))
                for topic, at in self._leaving.items()
                if topic in staying
            ]
            self._due = max(min(later), self._next_frame) if later else None
        return self._due

    def next(self, now: float) -> Batch | None:
        """Return the frame to send now. It counts as under way until acknowledged or refused."""
        due = self.due(now)
        if due is None or now < due:
            return None
        self._known = False
        if removable := self._removable(now):
            batch = _batch(Direction.REMOVE, removable, self._size)
            self._removing |= batch.topics
        elif addable := self._addable(now):
            batch = _batch(Direction.REG, addable, self._size)
            self._asked |= batch.topics
            self._repeats -= batch.topics
        else:
            return None
        self._next_frame = now + self._gap
        return batch

    def acknowledged(self, batch: Batch) -> None:
        """Note that the server applied ``batch``."""
        self._known = False
        self._gap = max(self._gap_floor, self._gap * 0.9)
        if batch.direction is Direction.REG:
            self._asked -= batch.topics
            self.registered |= batch.topics
        else:
            self._removing -= batch.topics
            self.registered -= batch.topics
            self._repeats -= batch.topics
            for topic in batch.topics:
                self._leaving.pop(topic, None)

    def refused(self, batch: Batch, verdict: Verdict, now: float) -> None:
        """Note that the server did not apply ``batch``: slow down, lower the cap, or leave it alone."""
        self._known = False
        self._asked -= batch.topics
        self._removing -= batch.topics
        full = verdict is Verdict.LOWER_CAP and batch.direction is Direction.REG
        if batch.direction is Direction.REG:
            for topic in batch.topics - self.registered:
                self._leaving.pop(topic, None)
        if verdict is Verdict.SLOW_DOWN:
            self._gap = min(MAX_GAP, self._gap * 2)
            self._next_frame = now + SLOW_PAUSE
        elif full and len(batch.items) > 1:
            self._size = len(batch.items) // 2  # the true cap lies inside this batch: halve until it is found
        elif full:
            self.cap, self._cap_learnt_at = min(self.cap, len(self._items())), now
            self._size = self._configured_size
        else:
            self._refused.update((topic, now + REFUSED_PAUSE) for topic in batch.topics)

    def _items(self) -> set[str]:
        return {split_topic(topic)[1] for topic in self.registered | self._asked}

    def _room(self) -> int:
        return self.cap - len(self._items())

    def _addable(self, now: float) -> list[str]:
        for topic in [topic for topic, until in self._refused.items() if until <= now]:
            del self._refused[topic]
        room, placed = self._room(), self._items()
        topics: list[str] = []
        for topic in self._wanted:
            known = topic in self.registered and topic not in self._repeats
            if known or topic in self._asked or topic in self._refused:
                continue
            item = split_topic(topic)[1]
            if item not in placed:
                if room <= 0:
                    continue
                placed.add(item)
                room -= 1
            topics.append(topic)
        return topics

    def _removable(self, now: float) -> list[str]:
        crowded = bool(self._leaving) and bool(self.unplaced)
        return [
            topic
            for topic, at in self._leaving.items()
            if (at <= now or crowded)
            and topic in self.registered
            and topic not in self._removing
            and topic not in self._refused
        ]


def _batch(direction: Direction, topics: Sequence[str], size: int) -> Batch:
    """Return the first ``size`` items that lack the same types, since a frame is a cross product."""
    types: dict[str, set[str]] = {}
    for topic in topics:
        kind, item = split_topic(topic)
        types.setdefault(item, set()).add(kind)
    first = next(iter(types.values()))
    items = [item for item, kinds in types.items() if kinds == first][:size]
    return Batch(direction, tuple(items), tuple(sorted(first)))
