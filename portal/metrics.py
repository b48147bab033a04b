"""``/metrics`` for Prometheus: gateway, feed, services, collector. Read by loopback and by viewers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.retry import Breaker
from gateway.states import State
from gateway.status import FeedState, FeedStatus, GatewayStatus
from portal.dashboard import collector, queries
from portal.dashboard.access import VIEW
from portal.dashboard.gateway import read_panel
from portal.monitoring import selftest
from portal.monitoring.models import SelfTestState
from portal.monitoring.store import Cost

LOOPBACK = ("127.0.0.1", "::1")


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape from this machine or by a signed-in viewer; a proxied stranger gets 403."""
    direct = request.META.get("REMOTE_ADDR") in LOOPBACK and "HTTP_X_FORWARDED_FOR" not in request.META
    if not direct and not request.user.has_perm(VIEW):
        raise PermissionDenied
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Readings())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Readings:
    """One look at everything; a value that nobody measured is left out."""

    def collect(self) -> Iterator[Metric]:
        """Return the metric families."""
        yield from _gateway()
        yield from _services()
        yield from _collector()
        yield from _self_test()


def _gateway() -> Iterator[Metric]:
    panel = read_panel()
    reachable = GaugeMetricFamily("bonghwa_redis_up", "Whether Redis answers")
    reachable.add_metric([], float(panel.reachable))
    yield reachable
    yield from _upstream(panel.statuses)
    yield from _feed(panel.feeds)


#: Gauges of an upstream session: name, help, value.
UPSTREAM_GAUGES: tuple[tuple[str, str, Callable[[GatewayStatus], float | None]], ...] = (
    ("consecutive_failures", "Failed attempts in a row", lambda one: one.attempts),
    (
        "next_retry_seconds",
        "Seconds until the next attempt when it was reported",
        lambda one: one.next_retry_s,
    ),
    ("breaker_open", "Whether the breaker is open or half open", lambda one: one.breaker != "closed"),
    ("breaker_manual", "Whether the breaker is held by hand", lambda one: one.breaker_manual),
    ("topics", "Registered topics", lambda one: one.topics),
    ("unplaced_topics", "Wanted topics that no connection has room for", lambda one: one.unplaced),
    ("capacity_items", "Items that the connection can hold", lambda one: one.capacity),
    ("free_items", "Items that the connection has room for", lambda one: one.free),
    ("silent_topics", "Accepted topics that bring no row although others do", lambda one: one.silent),
    ("standbys", "Processes that stand by for the session", lambda one: one.standbys),
    ("tasks", "Asyncio tasks of the gateway process", lambda one: one.tasks),
    (
        "bus_lag_seconds",
        "Time from a row's arrival to its publication in Redis",
        lambda one: None if one.lag_ms is None else one.lag_ms / 1000,
    ),
    ("last_row_timestamp_seconds", "Unix time of the last row", lambda one: one.last_row_at),
    ("status_timestamp_seconds", "Unix time of the session's report", lambda one: one.at),
)
#: Counters of an upstream session; a new owner starts them over.
UPSTREAM_COUNTERS: tuple[tuple[str, str, Callable[[GatewayStatus], float]], ...] = (
    ("connection_attempts", "Connection attempts", lambda one: one.attempts_total),
    ("rows_in", "Rows received", lambda one: one.rows_in),
    ("log_lines", "Log lines written", lambda one: one.log_lines),
    ("log_lines_dropped", "Log lines over the limit of a minute", lambda one: one.log_dropped),
)
#: Gauges and counters of a web process's feed.
FEED_GAUGES: tuple[tuple[str, str, Callable[[FeedStatus], float]], ...] = (
    ("connections", "Connected end users", lambda one: one.connections),
    ("topics", "Topics that some end user wants", lambda one: one.topics),
    ("subscriptions", "Topics of every end user added up", lambda one: one.subscriptions),
    ("queue_frames", "Frames that wait for slow end users", lambda one: one.queued_frames),
    ("queue_bytes", "Bytes that wait for slow end users", lambda one: one.queued_bytes),
    ("conflating_connections", "End users that get only the newest rows now", lambda one: one.conflating),
    ("tasks", "Asyncio tasks of the web process", lambda one: one.tasks),
)
FEED_COUNTERS: tuple[tuple[str, str, Callable[[FeedStatus], float]], ...] = (
    ("rows_in", "Rows from the bus", lambda one: one.rows_in),
    ("rows_out", "Rows sent to end users", lambda one: one.rows_out),
    ("rows_dropped", "Rows that slow end users did not get", lambda one: one.dropped),
)


def _upstream(statuses: Sequence[GatewayStatus]) -> Iterator[Metric]:
    labels = ["slot", "state"]
    feed = GaugeMetricFamily("bonghwa_gateway_state", "1 for the feed's present state", labels=labels)
    session = GaugeMetricFamily(
        "bonghwa_gateway_session_state", "1 for the upstream session's present state", labels=labels
    )
    breaker = GaugeMetricFamily(
        "bonghwa_gateway_breaker_state", "1 for the breaker's present state", labels=labels
    )
    for status in statuses:
        for word in FeedState:
            feed.add_metric([status.slot, word.value], float(status.feed is word))
        for state in State:
            session.add_metric([status.slot, state.value], float(status.session == state))
        for position in Breaker:
            breaker.add_metric([status.slot, position.value], float(status.breaker == position))
    yield from (feed, session, breaker)
    for name, text, value in UPSTREAM_GAUGES:
        gauge = GaugeMetricFamily(f"bonghwa_gateway_{name}", text, labels=["slot"])
        for status in statuses:
            if (measured := value(status)) is not None:
                gauge.add_metric([status.slot], float(measured))
        yield gauge
    for name, text, count in UPSTREAM_COUNTERS:
        counter = CounterMetricFamily(f"bonghwa_gateway_{name}", text, labels=["slot"])
        for status in statuses:
            counter.add_metric([status.slot], float(count(status)))
        yield counter


def _feed(feeds: Sequence[FeedStatus]) -> Iterator[Metric]:
    for name, text, value in FEED_GAUGES:
        gauge = GaugeMetricFamily(f"bonghwa_feed_{name}", text, labels=["process"])
        for feed in feeds:
            gauge.add_metric([feed.process], float(value(feed)))
        yield gauge
    for name, text, value in FEED_COUNTERS:
        counter = CounterMetricFamily(f"bonghwa_feed_{name}", text, labels=["process"])
        for feed in feeds:
            counter.add_metric([feed.process], float(value(feed)))
        yield counter
    closes = CounterMetricFamily(
        "bonghwa_feed_closes", "Connections that ended, by close code", labels=["process", "code"]
    )
    for feed in feeds:
        for code, count in sorted((feed.closes or {}).items()):
            closes.add_metric([feed.process, code], float(count))
    yield closes
    limit = GaugeMetricFamily("bonghwa_feed_limit", "Limits of the feed in force", labels=["limit"])
    for name, number in asdict(settings.GATEWAY_FEED).items():
        limit.add_metric([name], float(number))
    yield limit


def _services() -> Iterator[Metric]:
    names = ["service", "runtime"]
    level = GaugeMetricFamily("bonghwa_service_level", "1 for the service's level", labels=[*names, "level"])
    cpu = GaugeMetricFamily("bonghwa_service_cpu_percent", "CPU in percent of one core", labels=names)
    memory = GaugeMetricFamily("bonghwa_service_memory_bytes", "Memory in use", labels=names)
    streak = GaugeMetricFamily(
        "bonghwa_service_failing_streak", "Failed health checks in a row", labels=names
    )
    lines = GaugeMetricFamily("bonghwa_service_log_lines_per_second", "Log lines a second", labels=names)
    age = GaugeMetricFamily("bonghwa_service_age_seconds", "Age of the reading", labels=names)
    for row in queries.service_rows(timezone.now()):
        labels = [row.name, row.runtime]
        level.add_metric([*labels, row.level.value], 1.0)
        streak.add_metric(labels, row.failing_streak)
        for family, value in (
            (cpu, row.cpu_percent),
            (memory, row.memory_bytes),
            (lines, row.log_lines_per_s),
            (age, row.age_s),
        ):
            if value is not None:
                family.add_metric(labels, float(value))
    yield from (level, cpu, memory, streak, lines, age)


#: Gauges of a runtime's newest sweep: name, help, value.
COLLECTOR_GAUGES: tuple[tuple[str, str, Callable[[Cost], float | None]], ...] = (
    ("up", "Whether the runtime answered", lambda one: not one.error),
    ("sweep_seconds", "Wall time of the newest sweep", lambda one: one.ms / 1000),
    ("calls", "Calls of the newest sweep", lambda one: one.calls),
    ("call_p95_seconds", "Time that 95 % of its calls took at most", lambda one: one.p95_ms / 1000),
    ("services", "Services read in the newest sweep", lambda one: one.services),
    ("skipped_services", "Services that gave no reading in time", lambda one: one.skipped),
    (
        "interval_seconds",
        "Time between two sweeps; longer while the runtime is slow",
        lambda one: one.interval_s,
    ),
    ("last_sweep_timestamp_seconds", "Unix time of the newest sweep", lambda one: one.moment.timestamp()),
    ("guarded", "Whether only reading is allowed", lambda one: one.guarded),
)


def _collector() -> Iterator[Metric]:
    costs = collector.costs()
    for name, text, value in COLLECTOR_GAUGES:
        gauge = GaugeMetricFamily(f"bonghwa_collector_{name}", text, labels=["runtime"])
        for cost in costs:
            if (measured := value(cost)) is not None:
                gauge.add_metric([cost.runtime], float(measured))
        yield gauge
    gaps = CounterMetricFamily(
        "bonghwa_collector_event_gaps",
        "Windows of which the runtime may have lost events",
        labels=["runtime"],
    )
    for cost in costs:
        gaps.add_metric([cost.runtime], float(cost.gaps))
    yield gaps


def _self_test() -> Iterator[Metric]:
    """Yield how the last self-test of the alarm ended; nothing before the first."""
    last = selftest.ended().first()
    if last is None:
        return
    yield GaugeMetricFamily(
        "bonghwa_self_test_passed",
        "Whether the last self-test's message arrived in time",
        value=float(last.state == SelfTestState.PASSED),
    )
    yield GaugeMetricFamily(
        "bonghwa_self_test_timestamp_seconds",
        "Unix time at which the last self-test began",
        value=last.started_at.timestamp(),
    )
    if last.delivered_after_s is not None:
        yield GaugeMetricFamily(
            "bonghwa_self_test_delivery_seconds",
            "Time from the last self-test's fault to the delivered message",
            value=last.delivered_after_s,
        )
