"""Which checklist items to look at now, because something changed since they were last known.

Nothing is remembered between two looks: an item is due when its target was started, configured anew or, for
verifiers of rules, a rule was edited after the item's last known result. One failure is looked at again
soon, so that a real one is told within minutes. A look that finds nothing out is repeated for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import F, Max, Q

from incidents import checklist
from incidents.models import ChecklistItem, ItemState, RunTrigger, VerificationRun
from portal.monitoring.models import ConfigSnapshot, EventAction, Rule, ServiceEvent
from portal.operations.causes import OF_RULES

#: An item is looked at no more often than this.
DEBOUNCE = timedelta(seconds=30)
#: A change older than this is left to the schedule.
CHANGE_COUNTS = timedelta(hours=1)
#: Items considered, and looked at in one go.
MAX_ITEMS = 2000
BATCH = 50
_STARTS = (EventAction.START, EventAction.RESTART)


def due(now: datetime) -> list[ChecklistItem]:
    """Return at most :data:`BATCH` items to look at, the longest unchecked first: four queries."""
    rested = Q(checked_at=None) | Q(checked_at__lte=now - DEBOUNCE)
    items = ChecklistItem.objects.filter(rested).exclude(verifier="").exclude(state=ItemState.WAIVED)
    waiting = items.select_related("report__incident").order_by(F("checked_at").asc(nulls_first=True), "pk")
    changed, rules = _changed(now), _rules_changed(now)
    found = [one for one in waiting[:MAX_ITEMS] if _is_due(one, changed, rules)]
    return found[:BATCH]


def recheck(now: datetime, *, budget_s: float) -> list[VerificationRun]:
    """Run the verifiers of what is due."""
    return checklist.verify_items(items=due(now), now=now, trigger=RunTrigger.CHANGE, budget_s=budget_s)


def _is_due(item: ChecklistItem, changed: Mapping[str, datetime], rules: datetime | None) -> bool:
    if item.checked_at is None:
        return True
    if 0 < item.failures < checklist.FAILURES_TO_FAIL and item.state != ItemState.FAILING:
        return True
    at = rules if item.verifier in OF_RULES else changed.get(item.target)
    return at is not None and (item.known_at is None or item.known_at < at)


def _changed(now: datetime) -> dict[str, datetime]:
    """Return when each service was last started or configured, by name, if lately."""
    since = now - CHANGE_COUNTS
    latest: dict[str, datetime] = {}
    events = ServiceEvent.objects.filter(at__gte=since, action__in=_STARTS).order_by()
    snapshots = ConfigSnapshot.objects.filter(last_at__gte=since).order_by()
    for name, at in (
        *events.values_list("name").annotate(Max("at")),
        *snapshots.values_list("service__name").annotate(Max("last_at")),
    ):
        latest[name] = max(at, latest.get(name, at))
    return latest


def _rules_changed(now: datetime) -> datetime | None:
    rows = Rule.history.filter(history_date__gte=now - CHANGE_COUNTS)
    newest: datetime | None = rows.aggregate(at=Max("history_date"))["at"]
    return newest
