"""``/metrics`` for Prometheus: gateway, feed, services, collector. Read by loopback and by viewers."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.status import FeedState
from portal.dashboard import queries
from portal.dashboard.access import VIEW
from portal.dashboard.gateway import read_panel

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


def _gateway() -> Iterator[Metric]:
    panel = read_panel()
    reachable = GaugeMetricFamily("bonghwa_redis_up", "Whether Redis answers")
    reachable.add_metric([], float(panel.reachable))
    yield reachable
    state = GaugeMetricFamily(
        "bonghwa_gateway_state", "1 for the feed's present state", labels=["slot", "state"]
    )
    attempts = GaugeMetricFamily("bonghwa_gateway_attempts", "Failed attempts in a row", labels=["slot"])
    breaker = GaugeMetricFamily(
        "bonghwa_gateway_breaker_open", "Whether the breaker is open", labels=["slot"]
    )
    topics = GaugeMetricFamily("bonghwa_gateway_topics", "Registered topics", labels=["slot"])
    rows = CounterMetricFamily("bonghwa_gateway_rows_in", "Rows received", labels=["slot"])
    for status in panel.statuses:
        for word in FeedState:
            state.add_metric([status.slot, word.value], float(status.feed is word))
        attempts.add_metric([status.slot], status.attempts)
        breaker.add_metric([status.slot], float(status.breaker != "closed"))
        topics.add_metric([status.slot], status.topics)
        rows.add_metric([status.slot], status.rows_in)
    yield from (state, attempts, breaker, topics, rows)
    clients = GaugeMetricFamily("bonghwa_feed_connections", "Connected end users", labels=["process"])
    sent = CounterMetricFamily("bonghwa_feed_rows_out", "Rows sent to end users", labels=["process"])
    dropped = CounterMetricFamily("bonghwa_feed_dropped", "Rows conflated or dropped", labels=["process"])
    for feed in panel.feeds:
        clients.add_metric([feed.process], feed.connections)
        sent.add_metric([feed.process], feed.rows_out)
        dropped.add_metric([feed.process], feed.dropped)
    yield from (clients, sent, dropped)


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
