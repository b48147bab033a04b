"""What one connection has registered, by group as Kiwoom keeps it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from gateway.feed_frames import PAIRS_MAX, BadFrame, Code, Registration, check_pair
from gateway.protocol import topic_of

#: Groups of one connection; clients that give each item a group of its own need as many as items.
GROUPS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a key may register: None means everything that can be shared."""

    types: frozenset[str] | None = None
    items: frozenset[str] | None = None
    max_items: int = 200

    def allows(self, kind: str, item: str) -> bool:
        """Tell whether rows of ``kind`` and ``item`` (empty for a market-wide type) may be had."""
        return (self.types is None or kind in self.types) and (
            self.items is None or not item or item in self.items
        )


@dataclass(slots=True)
class Registrations:
    """What one connection asked for (``TYPE:ITEM``) by group number.

    Rows of market-wide types come under one topic without an item, whatever item they were asked for with.
    """

    rights: Rights
    groups: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def topics(self) -> frozenset[str]:
        """Every topic of every group."""
        return frozenset(topic_of(*pair.split(":", 1)) for pair in self._pairs)

    @property
    def _pairs(self) -> frozenset[str]:
        return frozenset().union(*self.groups.values())

    def apply(self, request: Registration) -> None:
        """Carry out a REG or REMOVE, wholly or not at all.

        Raises:
            BadFrame: it is not allowed, or makes more unique items, groups, or pairs in all groups than the
                limits.
        """
        if request.trnm == "REMOVE":
            self._remove(request)
            return
        wanted = frozenset(self._topic(request.trnm, kind, item) for kind, item in request.pairs or ())
        kept = frozenset() if request.replace else self.groups.get(request.group, frozenset())
        others = [topics for group, topics in self.groups.items() if group != request.group]
        self._check_sizes(request.trnm, others, kept | wanted)
        items = {topic.partition(":")[2] for topic in wanted.union(kept, *others)} - {""}
        if len(items) > self.rights.max_items:
            message = _("More than %(limit)s items on one connection.") % {"limit": self.rights.max_items}
            raise BadFrame(request.trnm, Code.TOO_MANY_ITEMS, message)
        self._set(request.group, kept | wanted)

    @staticmethod
    def _check_sizes(trnm: str, others: list[frozenset[str]], own: frozenset[str]) -> None:
        if len(others) >= GROUPS_MAX:
            message = _("More than %(limit)s groups on one connection.") % {"limit": GROUPS_MAX}
            raise BadFrame(trnm, Code.TOO_MANY_ITEMS, message)
        if sum(map(len, others)) + len(own) > PAIRS_MAX:
            message = _("More than %(limit)s pairs of type and item on one connection.") % {
                "limit": PAIRS_MAX
            }
            raise BadFrame(trnm, Code.TOO_MANY_ITEMS, message)

    def restrict(self, rights: Rights) -> frozenset[str]:
        """Take over changed rights and return the topics that they no longer allow.

        Of more items than the new limit, those with the lowest codes stay.
        """
        self.rights = rights
        before = self.topics
        allowed = {topic for topic in self._pairs if rights.allows(*topic.split(":", 1))}
        items = sorted({topic.partition(":")[2] for topic in allowed} - {""})
        kept = {"", *items[: rights.max_items]}
        allowed = {topic for topic in allowed if topic.partition(":")[2] in kept}
        for group, topics in list(self.groups.items()):
            self._set(group, topics & allowed)
        return before - self.topics

    def _remove(self, request: Registration) -> None:
        if request.pairs is None:
            self.groups.pop(request.group, None)
            return
        gone = {f"{kind}:{item}" for kind, item in request.pairs}
        self._set(request.group, self.groups.get(request.group, frozenset()) - gone)

    def _set(self, group: str, topics: frozenset[str]) -> None:
        if topics:
            self.groups[group] = topics
        else:
            self.groups.pop(group, None)

    def _topic(self, trnm: str, kind: str, item: str) -> str:
        check_pair(trnm, kind, item)
        if self.rights.types is not None and kind not in self.rights.types:
            message = _("This key may not register type %(type)s.") % {"type": kind}
            raise BadFrame(trnm, Code.NOT_ALLOWED, message)
        if item and self.rights.items is not None and item not in self.rights.items:
            message = _("This key may not register item %(item)s.") % {"item": item}
            raise BadFrame(trnm, Code.NOT_ALLOWED, message)
        return f"{kind}:{item}"
