"""Rolls readings and probes up into minutes, and minutes into hours.

Every run computes the last minutes anew from what is stored and writes them by upsert: a window computed
twice gives one row, late data is taken in, and what a killed worker left undone is done by the next run,
since where to go on is read from the newest row that was written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import models, transaction
from django.db.models import OuterRef, Subquery

from portal.monitoring.folding import Point, fold, window
from portal.monitoring.models import (
    Endpoint,
    EndpointHour,
    EndpointMinute,
    Observation,
    ProbeResult,
    Service,
    ServiceHour,
    ServiceMinute,
)
from portal.monitoring.retention import RAW_FOR

MINUTE = 60
HOUR = 3600
#: Data that arrives this long after its minute is still taken in; a sweep may last 20 s.
LATE = timedelta(minutes=3)
#: Raw rows of one transaction. A longer backlog is worked off owner by owner, over several runs.
MAX_ROWS = 20_000
#: Owners (services or endpoints) of one transaction.
CHUNK = 50
#: Seconds after which a run ends and leaves the rest to the next.
BUDGET_S = 20.0


@dataclass(frozen=True, slots=True)
class Metric:
    """One reading: its raw column, and its roll-ups' columns for mean and maximum (one may be missing)."""

    raw: str
    mean: str = ""
    maximum: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """What is rolled up: raw rows of an owner, and the tables of both steps."""

    owner: str
    owners: type[models.Model]
    raw: type[models.Model]
    minute: type[models.Model]
    hour: type[models.Model]
    metrics: tuple[Metric, ...]

    @property
    def columns(self) -> list[str]:
        """Columns of a roll-up that hold metrics."""
        return [name for metric in self.metrics for name in (metric.mean, metric.maximum) if name]


_BOTH = (
    "cpu_percent", "memory_bytes", "log_lines_per_s", "failing_streak", "network_rx_bytes_per_s",
    "network_tx_bytes_per_s", "block_read_bytes_per_s", "block_write_bytes_per_s",
)  # fmt: skip
_HIGHEST = ("restart_count", "pids")
SERVICES = Source(
    "service",
    Service,
    Observation,
    ServiceMinute,
    ServiceHour,
    (
        *(Metric(name, f"{name}_mean", f"{name}_max") for name in _BOTH),
        *(Metric(name, "", f"{name}_max") for name in _HIGHEST),
    ),
)
ENDPOINTS = Source(
    "endpoint",
    Endpoint,
    ProbeResult,
    EndpointMinute,
    EndpointHour,
    (Metric("ok", "pass_rate"), Metric("latency_ms", "latency_ms_mean", "latency_ms_max")),
)


def roll_up(now: datetime) -> int:
    """Bring every roll-up up to the last full minute; return the minutes written."""
    deadline = time.monotonic() + BUDGET_S
    return sum(_roll_up(source, now, deadline) for source in (SERVICES, ENDPOINTS))


def _roll_up(source: Source, now: datetime, deadline: float) -> int:
    until = window(now, MINUTE)
    starts = dict(_starts(source, now))
    done = 0
    owners = list(starts)
    for first in range(0, len(owners), CHUNK):
        chunk = owners[first : first + CHUNK]
        if time.monotonic() > deadline:
            break
        written = _write_chunk(source, {owner: starts[owner] for owner in chunk}, until)
        if written is None:
            for owner in chunk:
                if time.monotonic() > deadline:
                    break
                done += _write_chunk(source, {owner: starts[owner]}, until, cut=True) or 0
        else:
            done += written
    return done


def _starts(source: Source, now: datetime) -> Iterator[tuple[int, datetime]]:
    """Yield from when on each owner that has fresh raw rows has to be computed."""
    newest = source.minute._default_manager.filter(**{source.owner: OuterRef("pk")}).order_by("-at")
    raw = source.raw._default_manager.filter(**{source.owner: OuterRef("pk")}).order_by("-at")
    rows = source.owners._default_manager.annotate(
        rolled=Subquery(newest.values("at")[:1]), fresh=Subquery(raw.values("at")[:1])
    ).values_list("pk", "rolled", "fresh")
    oldest = window(now - RAW_FOR, MINUTE) + timedelta(minutes=1)  # the minute before is pruned in part
    for pk, rolled, fresh in rows.order_by("pk"):
        start = oldest if rolled is None else max(oldest, rolled - LATE)
        if fresh is not None and fresh >= start:
            yield pk, window(start, MINUTE)


def _write_chunk(
    source: Source, starts: dict[int, datetime], until: datetime, *, cut: bool = False
) -> int | None:
    """Write the minutes of some owners and the hours they belong to, in one transaction.

    Returns the minutes written, ``None`` when there are too many rows and ``cut`` does not allow a part.
    """
    start = min(starts.values())
    names = [metric.raw for metric in source.metrics]
    rows = source.raw._default_manager.filter(
        **{f"{source.owner}__in": list(starts)}, at__gte=start, at__lt=until
    ).order_by(source.owner, "at")
    values = list(rows.values_list(f"{source.owner}_id", "at", *names)[: MAX_ROWS + 1])
    if len(values) > MAX_ROWS:
        if not cut:
            return None
        last = window(values[-1][1], MINUTE)  # the last minute may go on behind the cut
        values = [row for row in values if row[1] < last]
    by_owner: dict[int, list[Point]] = {}
    for owner, at, *numbers in values:
        by_owner.setdefault(owner, []).append(
            Point(at.timestamp(), 1, tuple(None if n is None else (float(n), float(n)) for n in numbers))
        )
    with transaction.atomic():
        written = _upsert(source, source.minute, MINUTE, by_owner)
        _write_hours(source, by_owner)
    return written


def _write_hours(source: Source, by_owner: dict[int, list[Point]]) -> None:
    """Compute every hour that a changed minute belongs to from all of its minutes."""
    if not by_owner:
        return
    start = window(_time(min(point.at for points in by_owner.values() for point in points)), HOUR)
    end = _time(max(point.at for points in by_owner.values() for point in points))
    hours = stored(source, source.minute, list(by_owner), start, window(end, HOUR) + timedelta(hours=1))
    _upsert(source, source.hour, HOUR, hours)


def stored(
    source: Source, table: type[models.Model], owners: Sequence[int], start: datetime, end: datetime
) -> dict[int, list[Point]]:
    """Return the roll-ups of ``owners`` in ``[start, end)`` in order of time: one query."""
    rows = table._default_manager.filter(
        **{f"{source.owner}__in": list(owners)}, at__gte=start, at__lt=end
    ).order_by(source.owner, "at")
    columns = source.columns
    found: dict[int, list[Point]] = {}
    for owner, at, samples, *values in rows.values_list(f"{source.owner}_id", "at", "samples", *columns):
        given = dict(zip(columns, values, strict=True))
        found.setdefault(owner, []).append(
            Point(at.timestamp(), samples, tuple(_pair(metric, given) for metric in source.metrics))
        )
    return found


def _pair(metric: Metric, given: dict[str, float | None]) -> tuple[float, float] | None:
    """Return mean and maximum of a stored roll-up; a metric of one column has it for both."""
    mean = given[metric.mean or metric.maximum]
    highest = given[metric.maximum or metric.mean]
    return None if mean is None or highest is None else (mean, highest)


def _upsert(source: Source, table: type[models.Model], step: int, by_owner: dict[int, list[Point]]) -> int:
    rows = [
        table(
            **{f"{source.owner}_id": owner},
            at=_time(point.at),
            samples=point.samples,
            **_columns(source, point),
        )
        for owner, points in by_owner.items()
        for point in fold(points, step)
    ]
    table._default_manager.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=[source.owner, "at"],
        update_fields=["samples", *source.columns],
        batch_size=500,
    )
    return len(rows)


def _columns(source: Source, point: Point) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for metric, pair in zip(source.metrics, point.values, strict=True):
        for index, name in enumerate((metric.mean, metric.maximum)):
            if name:
                values[name] = None if pair is None else pair[index]
    return values


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
