"""How long each table's rows are kept, deleting what is older in small batches, and how large tables are.

A run ends after :data:`BUDGET_S` seconds and the next goes on. Tables that only grow at their end are
walked by primary key from the oldest row, which needs no index on the time; a batch is one short
transaction, so that sweeps get their turn in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef, Q

from portal.monitoring import events
from portal.monitoring.models import (
    Alert,
    EndpointHour,
    EndpointMinute,
    Observation,
    ProbeResult,
    RuleState,
    RunState,
    SelfTest,
    Service,
    ServiceEvent,
    ServiceHour,
    ServiceMinute,
)

RAW_FOR = timedelta(hours=48)
MINUTES_FOR = timedelta(days=14)
HOURS_FOR = timedelta(days=400)
EVENTS_FOR = timedelta(days=14)
CLOSED_ALERTS_FOR = timedelta(days=180)
GONE_FOR = timedelta(days=14)
#: A rule's state on a subject that gave no sample for this long and does not fire.
IDLE_STATES_FOR = timedelta(days=14)
SELF_TESTS_KEPT = 30
#: Rows of one transaction, services of one run (each takes its history along), seconds of one run.
BATCH = 2_000
SERVICES_BATCH = 20
BUDGET_S = 20.0


@dataclass(frozen=True, slots=True)
class Kept:
    """A table that only grows at its end, and how long its rows are kept by their ``at``."""

    model: type[models.Model]
    keep: timedelta
    field: str = "at"


GROWING = (
    Kept(Observation, RAW_FOR),
    Kept(ProbeResult, RAW_FOR),
    Kept(ServiceMinute, MINUTES_FOR),
    Kept(EndpointMinute, MINUTES_FOR),
    Kept(ServiceHour, HOURS_FOR),
    Kept(EndpointHour, HOURS_FOR),
    Kept(ServiceEvent, EVENTS_FOR),
)

#: Label of a model of another part to how long a row is kept by its column; absent models are skipped.
FURTHER: dict[str, tuple[str, timedelta]] = {
    "sessions.Session": ("expire_date", timedelta()),
    "monitoring.HistoricalEndpoint": ("history_date", timedelta(days=400)),
    "axes.AccessAttempt": ("attempt_time", timedelta(days=180)),
    "axes.AccessLog": ("attempt_time", timedelta(days=180)),
}


def prune(now: datetime) -> dict[str, int]:
    """Delete what is older than its retention; return rows deleted by table (the verbose name)."""
    deadline = time.monotonic() + BUDGET_S
    deleted = {_name(kept.model): _walk(kept, now - kept.keep, deadline) for kept in GROWING}
    for model, rows in _selected(now):
        deleted[_name(model)] = _delete(rows, deadline)
    deleted[_name(ServiceEvent)] += events.prune_many()
    gone = Service.objects.filter(
        state__state__in=[RunState.GONE, RunState.UNKNOWN], state__at__lt=now - GONE_FOR
    )
    deleted[_name(Service)] = _delete_batch(gone, SERVICES_BATCH)
    return {name: count for name, count in deleted.items() if count}


def _selected(now: datetime) -> list[tuple[type[models.Model], models.QuerySet[Any]]]:
    """Return the rows to delete of tables that are small or have an index for it."""
    firing = Alert.objects.filter(closed_at=None, rule=OuterRef("rule"), subject=OuterRef("subject"))
    newest = SelfTest.objects.order_by("-started_at", "-pk").values("pk")[:SELF_TESTS_KEPT]
    found: list[tuple[type[models.Model], models.QuerySet[Any]]] = [
        (Alert, Alert.objects.filter(closed_at__lt=now - CLOSED_ALERTS_FOR)),
        (
            RuleState,
            RuleState.objects.filter(~Exists(firing), firing=False, sampled_at__lt=now - IDLE_STATES_FOR),
        ),
        (SelfTest, SelfTest.objects.exclude(pk__in=list(newest.values_list("pk", flat=True)))),
    ]
    for label, (column, keep) in FURTHER.items():
        if model := _model(label):
            old = Q(**{f"{column}__lt": now - keep})
            found.append((model, model._default_manager.filter(old)))
    return found


def _walk(kept: Kept, before: datetime, deadline: float) -> int:
    """Delete rows older than ``before`` from the oldest on until a whole batch has none."""
    rows = kept.model._default_manager.order_by("pk")
    deleted, seen = 0, 0
    while time.monotonic() < deadline:
        batch = list(rows.filter(pk__gt=seen).values_list("pk", kept.field)[:BATCH])
        old = [pk for pk, at in batch if at < before]
        if not old:
            break
        seen = batch[-1][0]
        span = Q(pk__gte=old[0], pk__lte=old[-1]) if len(old) == len(batch) else Q(pk__in=old)
        deleted += kept.model._default_manager.filter(span).delete()[0]
    return deleted


def _delete(rows: models.QuerySet[Any], deadline: float) -> int:
    deleted = 0
    while time.monotonic() < deadline:
        count = _delete_batch(rows, BATCH)
        deleted += count
        if not count:
            break
    return deleted


def _delete_batch(rows: models.QuerySet[Any], size: int) -> int:
    numbers = list(rows.order_by("pk").values_list("pk", flat=True)[:size])
    return rows.model._default_manager.filter(pk__in=numbers).delete()[0] if numbers else 0


def _model(label: str) -> type[models.Model] | None:
    try:
        return apps.get_model(label)
    except LookupError:
        return None


def _name(model: type[models.Model]) -> str:
    return str(model._meta.verbose_name_plural)
