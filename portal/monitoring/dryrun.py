"""How often a rule would have fired: its own fold over the history that is kept, within a bound of time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from django.db.models import Max, QuerySet

from portal.monitoring import market
from portal.monitoring.engine import thresholds
from portal.monitoring.models import (
    Endpoint,
    Observation,
    ProbeResult,
    Rule,
    RuleKind,
    Service,
    ServiceMinute,
)
from portal.monitoring.models.alert import LOW_IS_BAD, TRENDS
from portal.monitoring.rules import CLEAN, MAX_WINDOW, Verdict, fold
from portal.monitoring.samples import HALF_FULL, MIB, PLENTY_MIN
from portal.monitoring.trends import add_point, trend

LOOK_BACK = timedelta(days=7)
#: Seconds and rows after which a dry-run stops and says how far it came; firings that it lists.
TIME_LIMIT_S = 1.5
MAX_ROWS = 400_000
MAX_LISTED = 50
#: Readings of single sweeps are looked at this far back where there are minutes for what is older.
RAW_FOR = timedelta(hours=6)
MINUTE = timedelta(minutes=1)
#: Services or endpoints looked at.
MAX_SUBJECTS = 500
#: A trend is judged anew after so many seconds of history.
TREND_STEP_S = 300
RESTART_WINDOW = timedelta(minutes=10)

#: The column of an observation that a kind looks at.
COLUMNS = {
    RuleKind.CPU: "cpu_percent",
    RuleKind.MEMORY_LIMIT: "memory_bytes",
    RuleKind.MEMORY_NO_LIMIT: "memory_bytes",
    RuleKind.MEMORY_SLOPE: "memory_bytes",
    RuleKind.MEMORY_LEFT: "memory_bytes",
    RuleKind.LOG_FLOOD: "log_lines_per_s",
    RuleKind.FAILING_STREAK: "failing_streak",
    RuleKind.RESTARTS: "restart_count",
}
PROBED = frozenset({RuleKind.PROBE, RuleKind.LATENCY})

Points = Iterable[tuple[datetime, float | None]]


@dataclass(frozen=True, slots=True)
class Firing:
    """One time at which the rule would have opened."""

    at: datetime
    name: str
    value: float


@dataclass(slots=True, kw_only=True)
class DryRun:
    """The answer. ``supported`` is false when no history is kept of what the rule looks at.

    ``complete`` is false when time or rows ran out after ``looked_at`` of ``matching`` subjects. ``since`` is
    the oldest reading seen.
    """

    total: int = 0
    firings: list[Firing] = field(default_factory=list)
    matching: int = 0
    looked_at: int = 0
    rows: int = 0
    since: datetime | None = None
    supported: bool = True
    complete: bool = True

    def add(self, firing: Firing) -> None:
        """Count one, and list it while there is room."""
        self.total += 1
        if len(self.firings) < MAX_LISTED:
            self.firings.append(firing)


def dry_run(rule: Rule, *, now: datetime) -> DryRun:
    """Fold ``rule``, which need not be saved, over the last :data:`LOOK_BACK`.

    Limits are those of now; silences, dependencies and acknowledgements are left out.
    """
    kind = RuleKind(rule.kind)
    if kind not in COLUMNS and kind not in PROBED:
        return DryRun(supported=False)
    result, deadline = DryRun(), time.monotonic() + TIME_LIMIT_S
    subjects = _endpoints(rule) if kind in PROBED else _services(rule)
    result.matching = len(subjects)
    for subject in subjects:
        if time.monotonic() > deadline or result.rows > MAX_ROWS:
            result.complete = False
            break
        result.complete = _fold_over(rule, subject, result, now, deadline)
        result.looked_at += 1
        if not result.complete:
            break
    result.firings.sort(key=lambda one: one.at, reverse=True)
    return result


def _services(rule: Rule) -> list[Service | Endpoint]:
    found = Service.objects.filter(enabled=True).select_related("state")[:MAX_SUBJECTS]
    return [service for service in found if fnmatchcase(service.name, rule.service_pattern)]


def _endpoints(rule: Rule) -> list[Service | Endpoint]:
    found = Endpoint.objects.filter(enabled=True).select_related("service")[:MAX_SUBJECTS]
    return [one for one in found if fnmatchcase(_name(one), rule.service_pattern)]


def _name(subject: Service | Endpoint) -> str:
    if isinstance(subject, Endpoint) and subject.service is not None:
        return subject.service.name
    return subject.name


def _fold_over(
    rule: Rule, subject: Service | Endpoint, result: DryRun, now: datetime, deadline: float
) -> bool:
    """Fold one subject's history; return whether it was seen to its end."""
    limits, state, name = thresholds(rule), CLEAN, _name(subject)
    points = _probes(rule, subject, now) if isinstance(subject, Endpoint) else _readings(rule, subject, now)
    for number, (at, value) in enumerate(points):
        if number % 2_000 == 0 and (time.monotonic() > deadline or result.rows > MAX_ROWS):
            return False
        result.rows += 1
        result.since = min(result.since or at, at)
        if value is None or (state is CLEAN and not limits.is_bad(value)):
            continue
        if rule.market and not market.is_open(rule.market, at):
            continue
        state, verdict = fold(state, value, limits, at=at)
        if verdict is Verdict.OPENED:
            result.add(Firing(at, name, value))
        if state == CLEAN:
            state = CLEAN
    return True


def _probes(rule: Rule, endpoint: Endpoint, now: datetime) -> Iterator[tuple[datetime, float | None]]:
    rows = ProbeResult.objects.filter(endpoint=endpoint, at__gte=now - LOOK_BACK, at__lte=now).order_by("at")
    for at, ok, latency in rows.values_list("at", "ok", "latency_ms").iterator(chunk_size=2_000):
        yield at, (float(not ok) if rule.kind == RuleKind.PROBE else latency if ok else None)


def _readings(rule: Rule, service: Service, now: datetime) -> Points:
    column = COLUMNS[RuleKind(rule.kind)]
    state = getattr(service, "state", None)
    cpu_limit = (state.cpu_limit_cores if state else None) or 1.0
    memory_limit = state.memory_limit_bytes if state else None
    factor = {
        RuleKind.CPU: 1 / cpu_limit,
        RuleKind.MEMORY_LIMIT: 100 / memory_limit if memory_limit else 0.0,
        RuleKind.MEMORY_NO_LIMIT: 0.0 if memory_limit else 1 / MIB,
        RuleKind.MEMORY_SLOPE: 0.0 if memory_limit else 1 / MIB,
        RuleKind.MEMORY_LEFT: 1 / MIB if memory_limit else 0.0,
    }.get(RuleKind(rule.kind), 1.0)
    simple = rule.kind not in TRENDS and rule.kind not in LOW_IS_BAD and rule.kind != RuleKind.RESTARTS
    points = _history(service, column, now, above=rule.open_above / factor if simple and factor else None)
    if not factor:
        return ()
    scaled = ((at, None if value is None else value * factor) for at, value in points)
    if rule.kind in TRENDS:
        return _trends(rule, scaled, None if memory_limit is None else memory_limit / MIB)
    return _restarts(scaled) if rule.kind == RuleKind.RESTARTS else scaled


def _history(service: Service, column: str, now: datetime, *, above: float | None) -> Points:
    """Yield one column of a service: minutes of what is old, single readings of what is fresh.

    A span that nowhere reaches ``above`` holds nothing of interest; the database says so without its rows.
    """
    split = now - RAW_FOR
    yield from _minutes(service, column, now - LOOK_BACK, split, above)
    raw = Observation.objects.filter(service=service, at__gte=split, at__lte=now)
    yield from _column(raw, column, above)


def _minutes(
    service: Service, column: str, since: datetime, until: datetime, above: float | None
) -> Iterator[tuple[datetime, float | None]]:
    """Yield minutes; a bad one stands for each of the readings that it was made of."""
    suffix = "max" if column in ("failing_streak", "restart_count") else "mean"
    name = f"{column}_{suffix}"
    rows = ServiceMinute.objects.filter(service=service, at__gte=since, at__lt=until)
    if above is not None and not rows.filter(**{f"{name}__gte": above}).exists():
        return
    found = rows.order_by("at").values_list("at", name, "samples")
    for at, value, samples in found.iterator(chunk_size=2_000):
        bad = above is not None and value is not None and value >= above
        times = min(samples, MAX_WINDOW) if bad else 1
        for number in range(times):
            yield at + number * MINUTE / times, value


def _column(rows: QuerySet[Any], name: str, above: float | None) -> Points:
    if above is not None:
        top = rows.aggregate(top=Max(name))["top"]
        if top is None or top < above:
            return ()
    return rows.order_by("at").values_list("at", name).iterator(chunk_size=2_000)


def _trends(rule: Rule, points: Points, limit: float | None) -> Iterator[tuple[datetime, float | None]]:
    kept: dict[str, float] = {}
    judged: datetime | None = None
    for at, value in points:
        if value is None:
            continue
        kept = add_point(kept, at.timestamp(), value)
        if judged is not None and (at - judged).total_seconds() < TREND_STEP_S:
            continue
        judged = at
        grown = trend(kept, window_s=rule.sustain_s)
        if grown is None or limit is None:
            yield at, None if grown is None else grown.per_minute
        elif grown.per_minute <= 0 or grown.last < HALF_FULL * limit:
            yield at, PLENTY_MIN
        else:
            yield at, max(0.0, limit - grown.last) / grown.per_minute


def _restarts(points: Points) -> Iterator[tuple[datetime, float | None]]:
    last: float | None = None
    grown: list[tuple[datetime, float]] = []
    for at, count in points:
        if count is None:
            continue
        if last is not None and count > last:
            grown.append((at, count - last))
        last = count
        grown = [one for one in grown if at - one[0] < RESTART_WINDOW]
        yield at, sum(number for _at, number in grown)
