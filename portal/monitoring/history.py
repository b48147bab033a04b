"""A service's past for charts: at most 400 points a series, each with mean and maximum, and its events.

The finest stored step that covers the window is read (raw, minutes, hours) and folded to the width that
keeps to the limit; a fold never loses a maximum, so a spike shows at every zoom.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import models
from django.db.models import Q

from incidents.models import Incident
from portal.monitoring import retention, rollups
from portal.monitoring.folding import Pair, Point, fold
from portal.monitoring.models import Endpoint, EventAction, Service

POINTS_MAX = 400
ENDPOINTS_MAX = 8
EVENTS_MAX = 100
INCIDENTS_MAX = 20
SHORTEST = timedelta(minutes=1)
LONGEST = retention.HOURS_FOR
#: Longest window read from raw rows and from minutes; both keep a query to a few thousand rows.
RAW_SPAN = timedelta(hours=2)
MINUTE_SPAN = timedelta(hours=26)
#: Seconds between two sweeps, the finest step there is.
SWEEP_S = 5
#: Raw rows of one service read at most, for a window of raw rows or for what is not rolled up yet.
RAW_MAX = 3_000
TAIL = timedelta(minutes=5)


class BadWindow(ValueError):
    """The window cannot be shown; the text says why."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is asked for, and how it is read: ``step`` is the width of a point in seconds."""

    start: datetime
    end: datetime
    source: str
    step: int

    @property
    def origin(self) -> float:
        """Where the first point begins (unix s)."""
        return self.start.timestamp() // self.step * self.step


@dataclass(frozen=True, slots=True)
class Event:
    """A mark on the time axis; ``kind``: ``opened``, ``reopened``, ``resolved``, ``restarted``, ``changed``,
    ``crashed``, ``oom``."""

    at: float
    kind: str
    number: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class EndpointHistory:
    """Probes of one endpoint."""

    endpoint: Endpoint
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Everything that the charts of one service show."""

    window: Window
    metrics: tuple[str, ...]
    points: tuple[Point, ...]
    endpoints: tuple[EndpointHistory, ...]
    events: tuple[Event, ...]

    def series(self, metric: str) -> list[Pair | None]:
        """Return mean and maximum of ``metric`` by point; none where it was never measured."""
        if metric not in self.metrics:
            return [None] * len(self.points)
        index = self.metrics.index(metric)
        return [point.values[index] for point in self.points]


def choose(start: datetime, end: datetime, now: datetime) -> Window:
    """Return how ``[start, end)`` is read at ``now``.

    Raises:
        BadWindow: it is empty, too short, too long or in the future.
    """
    end = min(end, now)
    if end - start < SHORTEST:
        raise BadWindow("The window must be at least one minute long and begin in the past.")
    if end - start > LONGEST:
        raise BadWindow(f"The window must be at most {LONGEST.days} days long.")
    span = end - start
    if span <= RAW_SPAN and start >= now - retention.RAW_FOR:
        source, native = "raw", SWEEP_S
    elif span <= MINUTE_SPAN and start >= now - retention.MINUTES_FOR:
        source, native = "minute", rollups.MINUTE
    else:
        source, native = "hour", rollups.HOUR
    # One point more than the span has steps: the first one may begin before the window.
    return Window(start, end, source, native * -(-int(span.total_seconds()) // (native * (POINTS_MAX - 1))))


def read(service: Service, start: datetime, end: datetime, now: datetime) -> History:
    """Return the history of ``service``: seven queries, eight near the present.

    Raises:
        BadWindow: see :func:`choose`.
    """
    window = choose(start, end, now)
    source = rollups.SERVICES
    points = _points(source, [service.pk], window, now).get(service.pk, [])
    endpoints = list(Endpoint.objects.filter(service=service, enabled=True).order_by("name")[:ENDPOINTS_MAX])
    probed = _points(rollups.ENDPOINTS, [one.pk for one in endpoints], window, now)
    metrics = tuple(metric.raw for metric in source.metrics)
    events = [
        *_incidents(service, window),
        *_restarts(metrics, points),
        *_changes(service, window),
        *_ends(service, window),
    ]
    events.sort(key=lambda event: event.at)
    return History(
        window=window,
        metrics=metrics,
        points=tuple(points),
        endpoints=tuple(EndpointHistory(one, tuple(probed.get(one.pk, ()))) for one in endpoints),
        events=tuple(events[-EVENTS_MAX:]),
    )


def _points(
    source: rollups.Source, owners: Sequence[int], window: Window, now: datetime
) -> dict[int, list[Point]]:
    """Return folded points by owner."""
    if not owners:
        return {}
    if window.source == "raw":
        found = _raw(source, owners, window.start, window.end)
    else:
        table: type[models.Model] = source.minute if window.source == "minute" else source.hour
        found = rollups.stored(source, table, owners, window.start, window.end)
        if window.source == "minute" and window.end > now - TAIL:
            _add_tail(source, owners, window, found)
    return {owner: fold(points, window.step, window.origin) for owner, points in found.items()}


def _add_tail(
    source: rollups.Source, owners: Sequence[int], window: Window, found: dict[int, list[Point]]
) -> None:
    """Add the raw rows that no minute holds yet."""
    for owner, points in _raw(source, owners, window.end - TAIL, window.end).items():
        kept = found.setdefault(owner, [])
        rolled = kept[-1].at + rollups.MINUTE if kept else 0.0
        kept.extend(point for point in points if point.at >= rolled)


def _raw(
    source: rollups.Source, owners: Sequence[int], start: datetime, end: datetime
) -> dict[int, list[Point]]:
    names = [metric.raw for metric in source.metrics]
    rows = source.raw._default_manager.filter(
        **{f"{source.owner}__in": list(owners)}, at__gte=start, at__lt=end
    ).order_by("-at")
    found: dict[int, list[Point]] = {}
    for owner, at, *numbers in rows.values_list(f"{source.owner}_id", "at", *names)[: RAW_MAX * len(owners)]:
        pairs = tuple(None if number is None else (float(number), float(number)) for number in numbers)
        found.setdefault(owner, []).append(Point(at.timestamp(), 1, pairs))
    return {owner: points[::-1] for owner, points in found.items()}


def _incidents(service: Service, window: Window) -> Iterator[Event]:
    rows = Incident.objects.filter(
        Q(resolved_at=None) | Q(resolved_at__gte=window.start),
        fingerprint=f"service:{service.runtime}:{service.name}",
        opened_at__lt=window.end,
    ).order_by("-number")[:INCIDENTS_MAX]
    for row in rows:
        for kind, at in (
            ("opened", row.opened_at),
            ("reopened", row.reopened_at),
            ("resolved", row.resolved_at),
        ):
            if at is not None and window.start <= at < window.end:
                yield Event(at.timestamp(), kind, row.number, row.title)


def _restarts(metrics: Sequence[str], points: Sequence[Point]) -> Iterator[Event]:
    """Yield a mark for each point in which the runtime's own counter grew."""
    index = metrics.index("restart_count")
    last: float | None = None
    for point in points:
        pair = point.values[index]
        if pair is None:
            continue
        if last is not None and pair[1] > last:
            yield Event(point.at, "restarted", text=str(round(pair[1] - last)))
        last = pair[1]


def _changes(service: Service, window: Window) -> Iterator[Event]:
    """Yield a mark where the service was first started with another configuration than before."""
    starts = service.snapshots.order_by("first_at").values_list("first_at", flat=True)
    for at in list(starts)[1:]:
        if window.start <= at < window.end:
            yield Event(at.timestamp(), "changed")


def _ends(service: Service, window: Window) -> Iterator[Event]:
    """Yield a mark for each crash and each kill for want of memory, the newest when there are many."""
    told = service.events.filter(
        Q(action=EventAction.OOM) | Q(action=EventAction.DIE, on_purpose=False) & ~Q(exit_code=0),
        at__gte=window.start,
        at__lt=window.end,
    ).order_by("-at")[:EVENTS_MAX]
    for row in told:
        if row.action == EventAction.OOM:
            yield Event(row.at.timestamp(), "oom")
        else:
            yield Event(
                row.at.timestamp(), "crashed", text="—" if row.exit_code is None else str(row.exit_code)
            )


def time(at: float) -> datetime:
    """Return unix seconds as an aware time.

    Raises:
        BadWindow: it is no time.
    """
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise BadWindow("The times must be unix seconds.") from error
