"""Which topics to register where and when. Pure: wanted against acknowledged in, batches out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.protocol import Direction, Verdict, split_topic

#: Seconds during which topics of a refused batch are left alone.
REFUSED_PAUSE = 60.0
#: Seconds to wait after the server said that frames come too fast, and the longest gap between frames.
SLOW_PAUSE = 2.0
MAX_GAP = 2.0


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
        self.reset()

    def reset(self) -> None:
        """Forget all registrations: they belong to a connection, and that one is gone."""
        self.cap = self._configured_cap
        self._size = self._configured_size
        self._gap = self._gap_floor
        self._next_frame = 0.0
        self.registered: set[str] = set()
        self._asked: set[str] = set()
        self._removing: set[str] = set()
        self._refused: dict[str, float] = {}
        self._leaving.clear()
        self._due: float | None = None
        self._known = False  # whether _due still holds: looking for work on every frame would cost too much

    def want(self, topics: Iterable[str], now: float) -> None:
        """Set what clients want, in order of arrival."""
        topics, self._known = dict.fromkeys(topics), False
        for topic in self._wanted:
            if topic not in topics and (topic in self.registered or topic in self._asked):
                self._leaving.setdefault(topic, now + self._linger)
        kept = {topic: None for topic in self._wanted if topic in topics}
        self._wanted = kept | topics
        for topic in self._wanted:
            self._leaving.pop(topic, None)

    @property
    def wanted(self) -> frozenset[str]:
        """What clients want."""
        return frozenset(self._wanted)

    @property
    def unplaced(self) -> frozenset[str]:
        """Wanted topics that have no place on this connection."""
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
        return frozenset(missing)

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
            self.cap = min(self.cap, len(self._items()))
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
        topics = []
        for topic in self._wanted:
            if topic in self.registered or topic in self._asked or topic in self._refused:
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


def place(
    topics: Iterable[str], slots: Sequence[str], cap: int, previous: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return the topics of each slot, keeping an item where it was and filling the emptiest slot first.

    What fits nowhere is given to the first slot, whose planner then names it as unplaced. ``previous`` maps
    an item to its slot.
    """
    if not slots:
        return {}
    by_item: dict[str, list[str]] = {}
    for topic in topics:
        by_item.setdefault(split_topic(topic)[1], []).append(topic)
    where = {item: previous[item] for item in by_item if previous.get(item) in slots}
    load = {slot: sum(1 for chosen in where.values() if chosen == slot) for slot in slots}
    for item in by_item:
        if item not in where:
            emptiest = min(slots, key=lambda slot: load[slot])
            where[item] = emptiest if load[emptiest] < cap else slots[0]
            load[where[item]] += 1
    placed: dict[str, list[str]] = {slot: [] for slot in slots}
    for item, wanted in by_item.items():
        placed[where[item]] += wanted
    return placed
