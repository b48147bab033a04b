"""What was acknowledged, and what may or may not have been: compared with what is stored. Pure."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Marks kept by one ledger.
MOST = 20_000

#: A kind of write and the mark that its row carries.
Mark = tuple[str, str]


@dataclass(slots=True)
class Ledger:
    """Marks by what the product answered; one thread may write while others read."""

    acknowledged: set[Mark] = field(default_factory=set)
    #: Sent, and not answered: it is on its way, the connection broke, or the answer was an error.
    doubtful: set[Mark] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, mark: Mark, *, acknowledged: bool) -> None:
        """Keep what became of one write.

        Raises:
            OverflowError: the ledger is full.
        """
        with self._lock:
            if len(self.acknowledged) + len(self.doubtful) >= MOST:
                raise OverflowError(f"more than {MOST} writes")
            self.doubtful.discard(mark)
            (self.acknowledged if acknowledged else self.doubtful).add(mark)

    def count(self) -> int:
        """Return how many writes were acknowledged."""
        with self._lock:
            return len(self.acknowledged)

    def promised(self) -> frozenset[Mark]:
        """Return what was acknowledged until now; to be asked before the rows are read."""
        with self._lock:
            return frozenset(self.acknowledged)

    def problems(self, stored: Mapping[Mark, int], promised: frozenset[Mark]) -> list[str]:
        """Return what is wrong with ``stored``, the rows of each mark, which must hold ``promised``."""
        with self._lock:
            known = self.acknowledged | self.doubtful
        lost = sorted(mark for mark in promised if not stored.get(mark))
        doubled = sorted(mark for mark, count in stored.items() if count > 1)
        foreign = sorted(set(stored) - known)
        found = []
        for word, marks in (("lost", lost), ("doubled", doubled), ("never written", foreign)):
            if marks:
                found.append(f"{len(marks)} {word}: {' '.join(marks[0])}")
        return found
