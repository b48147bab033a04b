"""When connections move to a web process that is new beside this one, and how many of them. Pure.

Long-lived connections stay where they are: a process that is added would serve newcomers alone. So those
that have more than their share send some of theirs away, slowly, and the proxy spreads them over all. How
often is bounded: a new process entitles each of the others to move as many as it has, and to no more, since
a proxy that sends a client to the same process again and again can never be balanced.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

#: Connections, and part of the share, that a process may have above its share.
SLACK, SLACK_RATIO = 20, 0.1
#: Names of processes that are remembered at most.
KNOWN_MAX = 1000


class Balance:
    """Decides for one process. ``looked`` is whether it knows which processes were there before it."""

    def __init__(self) -> None:
        self.looked = False
        self._known: set[str] = set()
        self._left = 0

    def to_move(self, own: int, others: Mapping[str, int], most: int) -> int:
        """Return how many of ``own`` connections to send away now, at most ``most``.

        ``others`` are the connections of the other processes by name. Those that are there at the first look
        are not new.
        """
        if self.looked and others.keys() - self._known:
            self._left = own
        self.looked = True
        self._known |= others.keys()
        if len(self._known) > KNOWN_MAX:
            self._known = set(others)
        share = ceil((own + sum(others.values())) / (len(others) + 1))
        surplus = own - share
        if surplus <= max(SLACK, SLACK_RATIO * share):
            self._left = 0
        count = max(0, min(surplus, self._left, most))
        self._left -= count
        return count
