"""``/checklist/``: what would bite us again, by state, service, owner and age."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from incidents.models import ChecklistItem, ItemState, Priority
from portal.dashboard import queries
from portal.dashboard.data import ItemRow

#: States that may bite again; the others rest on evidence or on a decision.
OPEN = (ItemState.FAILING, ItemState.STALE, ItemState.OPEN, ItemState.CLAIMED)
#: Lines of each summary.
GROUPS_MAX = 20
#: What an owner's or a service's filter says for none.
NOBODY = "-"
#: Days from which a measure counts as of that age, the oldest first.
AGES = (90, 30, 7, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a person asked for; empty means all. ``state`` may be ``waiting``: everything not done."""

    state: str = ""
    service: str = ""
    owner: str = ""
    priority: str = ""
    text: str = ""
    age: str = ""

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Filters:
        """Return the filters of a query string; unknown states and priorities are ignored."""
        state, priority = given.get("state", ""), given.get("priority", "")
        return cls(
            state=state if state in (*ItemState.values, "waiting") else "",
            service=given.get("service", "")[:200],
            owner=given.get("owner", "")[:150],
            priority=priority if priority in Priority.values else "",
            text=given.get("q", "").replace("\x00", "")[:100],
            age=given.get("age", "") if given.get("age", "") in map(str, AGES) else "",
        )

    @property
    def condition(self) -> Q:
        """The same for the database."""
        wanted = Q()
        if self.state:
            wanted &= Q(state__in=OPEN) if self.state == "waiting" else Q(state=self.state)
        if self.service:
            wanted &= Q(target="" if self.service == NOBODY else self.service)
        if self.owner:
            wanted &= Q(owner=None) if self.owner == NOBODY else Q(owner__username=self.owner)
        if self.priority:
            wanted &= Q(priority=self.priority)
        if self.age:
            days, now = int(self.age), timezone.now()
            wanted &= Q(added_at__lte=now - timedelta(days=days))
            if younger := [day for day in AGES if day > days]:
                wanted &= Q(added_at__gt=now - timedelta(days=min(younger)))
        if self.text:
            wanted &= Q(text__icontains=self.text) | Q(observed__icontains=self.text)
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What waits of one age, service or owner; ``since`` is when the oldest was added."""

    name: str
    key: str
    waiting: int
    failing: int
    overdue: int
    since: datetime


def context(filters: Filters | None = None) -> dict[str, Any]:
    """Return the page: two queries, the second for the choices of the filters."""
    wanted = filters or Filters()
    rows = queries.checklist(condition=wanted.condition)
    now = timezone.now()
    ages = {str(days): _age_word(days) for days in AGES}
    waiting = [row for row in rows if row.state in OPEN]
    counts = {state: sum(row.state == state for row in rows) for state in ItemState.values}
    every = ChecklistItem.objects.order_by().values_list("target", "owner__username").distinct()
    pairs = list(every[: queries.ITEMS_MAX])
    return {
        "title": _("Prevention checklist"),
        "items": rows,
        "filters": wanted,
        "counts": [(state, ItemState(state).label, count) for state, count in counts.items() if count],
        "by_age": sorted(
            _groups(waiting, lambda row: _age_of(row.added_at, now), "", ages),
            key=lambda one: -int(one.key),
        ),
        "by_service": _groups(waiting, lambda row: row.target, _("no service")),
        "by_owner": _groups(waiting, lambda row: row.owner, _("nobody")),
        "states": [("waiting", _("Not done")), *ItemState.choices],
        "priorities": Priority.choices,
        "services": sorted({target for target, _owner in pairs if target}),
        "owners": sorted({owner for _target, owner in pairs if owner}),
        "ages": list(ages.items()),
        "nobody": NOBODY,
        "most": queries.ITEMS_MAX if len(rows) == queries.ITEMS_MAX else 0,
        "now": now,
    }


def _age_of(added_at: datetime, now: datetime) -> str:
    return str(next((days for days in AGES if now - added_at >= timedelta(days=days)), 0))


def _age_word(days: int) -> str:
    longer = min((day for day in AGES if day > days), default=0)
    if not longer:
        return _("%(n)d days and more") % {"n": days}
    return _("%(least)d to %(most)d days") % {"least": days, "most": longer}


def _groups(
    rows: Iterable[ItemRow],
    key: Callable[[ItemRow], str],
    without: str,
    words: Mapping[str, str] | None = None,
) -> list[Group]:
    by_key: dict[str, list[ItemRow]] = defaultdict(list)
    for row in rows:
        by_key[key(row)].append(row)
    groups = [
        Group(
            name=(words or {}).get(name, name) or without,
            key=name or NOBODY,
            waiting=len(some),
            failing=sum(row.state == ItemState.FAILING for row in some),
            overdue=sum(row.overdue for row in some),
            since=min(row.added_at for row in some),
        )
        for name, some in by_key.items()
    ]
    return sorted(groups, key=lambda one: (-one.failing, -one.overdue, one.since))[:GROUPS_MAX]
