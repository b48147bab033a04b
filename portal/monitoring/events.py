"""Events of services: stored once each, whoever reads the window, and handed to the rules.

Every sweep reads from where the cursor stands up to its own beginning, so that each event's service is in the
sweep's list or was removed. The cursor and the rows are written in one transaction: a worker that dies leaves
the window to the next one, and what two workers store twice is one row (a database constraint).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, F

from portal.monitoring.models import EventAction, EventCursor, RuntimeKind, Service, ServiceEvent
from portal.monitoring.runtimes.base import EventWindow

#: How far back a runtime is read that was never read before, or not for long.
FIRST_WINDOW = timedelta(seconds=60)
LONGEST_WINDOW = timedelta(hours=24)
#: Events of one service handed to the rules at most, newest kept.
RECENT_MAX = 500
#: Events kept of one service, beside their age (``services.EVENTS_FOR``), and services looked at in one run.
KEPT_PER_SERVICE = 5_000
PRUNED_SERVICES = 200
#: Exit codes of an orderly end: 0, and those of SIGINT, SIGKILL and SIGTERM.
_ORDERLY = frozenset({0, 130, 137, 143})


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEvent:
    """One stored event. ``on_purpose`` is ``None`` when the runtime cannot tell."""

    at: datetime
    action: str
    exit_code: int | None = None
    on_purpose: bool | None = None
    health: str = ""
    runtime_id: str = ""

    @property
    def is_crash(self) -> bool:
        """Whether it ended by itself with an error: nobody stopped or killed it.

        Where the runtime cannot tell, the exit codes of the signals that a stop sends count as a stop.
        """
        if self.action != EventAction.DIE or self.on_purpose:
            return False
        return self.exit_code != 0 if self.on_purpose is False else self.exit_code not in _ORDERLY

    @property
    def is_oom(self) -> bool:
        """Whether the kernel killed something in it for want of memory."""
        return self.action == EventAction.OOM


def crashes(events: Iterable[ContainerEvent]) -> list[ContainerEvent]:
    """Return the ends nobody asked for that were not clean, in the order given."""
    return [event for event in events if event.is_crash]


def oom_kills(events: Iterable[ContainerEvent]) -> list[ContainerEvent]:
    """Return the OOM kills, in the order given."""
    return [event for event in events if event.is_oom]


def recent_events(service_ids: Collection[int], since: datetime) -> dict[int, list[ContainerEvent]]:
    """Return the events of services at or after ``since``, oldest first (one query for 500 services).

    A service without events is not in the answer; of one with more than ``RECENT_MAX`` the newest are.
    """
    wanted = set(service_ids)
    found: dict[int, list[ContainerEvent]] = {}
    rows = ServiceEvent.objects.filter(at__gte=since, service__in=wanted).order_by("-at", "-pk")
    for row in rows.iterator(chunk_size=500):
        if row.service_id is None:
            continue
        mine = found.setdefault(row.service_id, [])
        if len(mine) < RECENT_MAX:
            mine.append(
                ContainerEvent(
                    at=row.at,
                    action=row.action,
                    exit_code=row.exit_code,
                    on_purpose=row.on_purpose,
                    health=row.health,
                    runtime_id=row.runtime_id,
                )
            )
    return {service_id: mine[::-1] for service_id, mine in found.items()}


def ended_since(runtime: RuntimeKind, since: datetime) -> dict[str, datetime]:
    """Return the services that ended at or after ``since`` with the time of their last end (a query)."""
    ends = ServiceEvent.objects.filter(runtime=runtime, action=EventAction.DIE, at__gte=since)
    return dict(ends.order_by("-at").values_list("name", "at")[:RECENT_MAX][::-1])


def read_from(runtime: RuntimeKind, now: datetime) -> datetime:
    """Return the time from which events of ``runtime`` have to be read (a query)."""
    cursor = EventCursor.objects.filter(pk=runtime).first()
    if cursor is None:
        return now - FIRST_WINDOW
    # A clock that was set back must not leave the cursor in the future, where nothing would be read.
    return max(min(cursor.until, now), now - LONGEST_WINDOW)


def gaps(runtime: RuntimeKind) -> int:
    """Return in how many windows the runtime may have forgotten something (a query)."""
    return EventCursor.objects.filter(pk=runtime).values_list("gaps", flat=True).first() or 0


def save(runtime: RuntimeKind, window: EventWindow, services: Mapping[str, Service]) -> int:
    """Store a window's new events and move the cursor; return how many were new.

    ``services`` are the known ones by name; an event of any other is kept by its name alone, one of a service
    that is not watched is not kept.
    """
    rows = [
        ServiceEvent(
            runtime=runtime,
            key=event.key,
            service=services.get(event.name),
            name=event.name,
            runtime_id=event.runtime_id,
            at=event.at,
            action=event.action,
            exit_code=event.exit_code,
            on_purpose=event.on_purpose,
            health=event.health,
        )
        for event in window.events
        if event.name not in services or services[event.name].enabled
    ]
    with transaction.atomic():
        have = _stored(runtime, [row.key for row in rows])
        fresh = [row for row in rows if row.key not in have]
        ServiceEvent.objects.bulk_create(fresh, ignore_conflicts=True)
        _advance(runtime, window)
    return len(fresh)


def _stored(runtime: RuntimeKind, keys: Sequence[str]) -> set[str]:
    known = ServiceEvent.objects.filter(runtime=runtime, key__in=keys)
    return set(known.values_list("key", flat=True)) if keys else set()


def _advance(runtime: RuntimeKind, window: EventWindow) -> None:
    """Move the cursor on, or back when the clock was set back; of two workers each moves it a little."""
    EventCursor.objects.get_or_create(pk=runtime, defaults={"until": window.until})
    cursor = EventCursor.objects.filter(pk=runtime)
    cursor.update(until=window.until)
    if window.lost:
        cursor.update(gaps=F("gaps") + 1, last_gap_at=window.until)


def prune_many() -> int:
    """Delete the oldest events of services that have more than ``KEPT_PER_SERVICE``; return how many."""
    counted = ServiceEvent.objects.order_by().values("runtime", "name").annotate(rows=Count("pk"))
    deleted = 0
    for group in counted.filter(rows__gt=KEPT_PER_SERVICE)[:PRUNED_SERVICES]:
        mine = ServiceEvent.objects.filter(runtime=group["runtime"], name=group["name"])
        last = mine.order_by("-pk").values_list("pk", flat=True)[KEPT_PER_SERVICE]
        deleted += mine.filter(pk__lte=last).delete()[0]
    return deleted
