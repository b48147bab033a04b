"""Which item is registered with which key, over all keys of all processes. Pure.

The owner of the first slot that is alive computes it and publishes it; the others follow. What is placed
stays where it is for as long as its slot works, since a move costs rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

#: Items without a place that are told to the other processes; the first slot names them as unplaced.
MAX_HOMELESS = 2_000


@dataclass(frozen=True, slots=True)
class Placement:
    """Items by slot, in the order in which they are registered, and those for which no key has a place."""

    items: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    homeless: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Return JSON for Redis."""
        return orjson.dumps({"items": self.items, "homeless": self.homeless})

    @classmethod
    def decode(cls, raw: bytes | str) -> Placement:
        """Read :meth:`encode`'s output.

        Raises:
            ValueError: it is not such JSON.
        """
        data = orjson.loads(raw)
        try:
            items = {str(slot): tuple(map(str, listed)) for slot, listed in data["items"].items()}
            return cls(items, tuple(map(str, data["homeless"])))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a placement: {error}") from error

    def elsewhere(self, slot: str) -> frozenset[str]:
        """Return the items placed with other slots."""
        return frozenset(item for other, items in self.items.items() if other != slot for item in items)


@dataclass(frozen=True, slots=True)
class Seat:
    """A slot that is owned by some process: its places, and whether its connection works."""

    capacity: int
    works: bool = True


def place(items: Iterable[str], seats: Mapping[str, Seat], previous: Placement) -> Placement:
    """Return where each of ``items`` goes: where it was, else to the emptiest slot that has a place.

    A slot that does not work keeps its items only while no other has places for them. Over its capacity a
    slot keeps the items it had first: those are the ones that are registered.
    """
    wanted = dict.fromkeys(items)
    order = sorted(
        seats, key=lambda slot: not seats[slot].works
    )  # stable: in the order of the keys otherwise
    placed: dict[str, list[str]] = {slot: [] for slot in seats}
    where: dict[str, str] = {}
    for slot in order:
        for item in previous.items.get(slot, ()):
            if item in wanted and item not in where and len(placed[slot]) < seats[slot].capacity:
                placed[slot].append(item)
                where[item] = slot
    broken = [item for item, slot in where.items() if not seats[slot].works]
    homeless = []
    for item in [item for item in wanted if item not in where] + broken:
        free = [slot for slot in seats if seats[slot].works and len(placed[slot]) < seats[slot].capacity] or [
            slot for slot in seats if item not in where and len(placed[slot]) < seats[slot].capacity
        ]
        if free:
            slot = min(free, key=lambda slot: len(placed[slot]))
            if item in where:
                placed[where[item]].remove(item)
            placed[slot].append(item)
        elif item not in where:
            homeless.append(item)
    return Placement({slot: tuple(listed) for slot, listed in placed.items()}, tuple(homeless[:MAX_HOMELESS]))
