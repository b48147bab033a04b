"""A month of invented history of many services, written by SQLite itself in a few statements."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from incidents.models import ChecklistItem, Incident, Report, Severity, State, TimelineEvent, TimelineKind
from portal.monitoring.models import (
    Alert,
    Endpoint,
    Health,
    LogTemplate,
    ProbeKind,
    Rule,
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
)

MIB = 1024**2
SWEEP_S, PROBE_S = 5, 10
INCIDENTS, ALERTS, ITEMS, EVENTS, TEMPLATES = 200, 5_000, 120, 12, 20

#: Numbers of the steps of a span, oldest first, each with its time as Django stores it.
STEPS = """WITH RECURSIVE step(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM step WHERE n + 1 < %s),
times AS (SELECT n, strftime('%%Y-%%m-%%d %%H:%%M:%%S', %s + n * %s, 'unixepoch') AS at FROM step)"""
RAW = """INSERT INTO monitoring_observation (service_id, at, cpu_percent, memory_bytes, failing_streak,
 restart_count, log_lines_per_s, pids, network_rx_bytes_per_s, network_tx_bytes_per_s,
 block_read_bytes_per_s, block_write_bytes_per_s)
 {steps} SELECT s.id, times.at || '.123456', abs(random() % 1000) / 10.0 + 0.01,
 200000000 + abs(random() % 99999999), 0, n / 9000, abs(random() % 100) / 10.0 + 0.01, 12,
 abs(random() % 99999) + 0.5, abs(random() % 99999) + 0.5,
 0.0, abs(random() % 9999) + 0.5 FROM times CROSS JOIN monitoring_service s"""
PROBES = """INSERT INTO monitoring_proberesult (endpoint_id, at, ok, latency_ms, detail, pending)
 {steps} SELECT e.id, times.at || '.123456', random() % 500 <> 0, abs(random() % 900) / 10.0 + 0.01, '200 OK',
 false
 FROM times CROSS JOIN monitoring_endpoint e"""
SERVICE_ROLLUP = """INSERT INTO {table} (service_id, at, samples, cpu_percent_mean, cpu_percent_max,
 memory_bytes_mean, memory_bytes_max, log_lines_per_s_mean, log_lines_per_s_max, failing_streak_mean,
 failing_streak_max, restart_count_max, pids_max, network_rx_bytes_per_s_mean, network_rx_bytes_per_s_max,
 network_tx_bytes_per_s_mean, network_tx_bytes_per_s_max, block_read_bytes_per_s_mean,
 block_read_bytes_per_s_max, block_write_bytes_per_s_mean, block_write_bytes_per_s_max)
 {steps} SELECT s.id, times.at, {step} / 5, abs(random() % 500) / 10.0 + 0.01,
 50 + abs(random() % 500) / 10.0 + 0.01, 240000000.5, 290000000.0, 4.9, 9.9, 0.0, 0.0, 3.0, 12.0,
 48112.4, 99871.4, 48112.4, 99871.4, 0.0, 0.0, 4811.4, 9987.4
 FROM times CROSS JOIN monitoring_service s"""
ENDPOINT_ROLLUP = """INSERT INTO {table} (endpoint_id, at, samples, pass_rate, latency_ms_mean,
 latency_ms_max)
 {steps} SELECT e.id, times.at, {step} / 10, 1.0 - (random() % 100 = 0), 45.5,
 50 + abs(random() % 500) / 10.0 + 0.01
 FROM times CROSS JOIN monitoring_endpoint e"""


def fill(services: int, days: float, say: Callable[[str], None]) -> None:
    """Write so many services with an endpoint each, and ``days`` of history as retention keeps it."""
    now = timezone.now()
    _services(services, now)
    raw = min(days, 2.0) * 86400
    minutes = min(days, 14.0) * 86400
    for name, statement, step, seconds, table in (
        ("readings", RAW, SWEEP_S, raw, ""),
        ("probe results", PROBES, PROBE_S, raw, ""),
        ("minutes of services", SERVICE_ROLLUP, 60, minutes, "monitoring_serviceminute"),
        ("minutes of endpoints", ENDPOINT_ROLLUP, 60, minutes, "monitoring_endpointminute"),
        ("hours of services", SERVICE_ROLLUP, 3600, days * 86400, "monitoring_servicehour"),
        ("hours of endpoints", ENDPOINT_ROLLUP, 3600, days * 86400, "monitoring_endpointhour"),
    ):
        count = int(seconds / step)
        start = int(now.timestamp()) // step * step - count * step
        say(f"{count * services:,} {name}")
        sql = statement.format(steps=STEPS, table=table, step=step)
        with connection.cursor() as cursor:
            cursor.execute(sql, [count, start, step])
    _incidents(services, days, now)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _services(count: int, now: datetime) -> None:
    created = Service.objects.bulk_create(
        Service(runtime=RuntimeKind.DOCKER, name=f"svc-{number:03}", discovered_at=now)
        for number in range(count)
    )
    ServiceState.objects.bulk_create(
        ServiceState(
            service=service, at=now, state=RunState.RUNNING, health=Health.HEALTHY, cpu_percent=3.5,
            memory_bytes=250 * MIB, memory_limit_bytes=1024 * MIB, cpu_limit_cores=1.0, log_lines_per_s=4.2,
            started_at=now - timedelta(days=3), inspect={"memory": 1024 * MIB, "restart_policy": "always"},
        )
        for service in created
    )  # fmt: skip
    Endpoint.objects.bulk_create(
        Endpoint(service=service, name=f"{service.name} http", kind=ProbeKind.HTTP, ok=True, at=now,
                 latency_ms=12.0, url=f"http://127.0.0.1:9/{service.name}")
        for service in created
    )  # fmt: skip
    LogTemplate.objects.bulk_create(
        LogTemplate(service=service, fingerprint=f"{number}", template=f"GET /item/<n> took <n> ms #{number}",
                    count=1000 - number, first_seen=now, last_seen=now)
        for service in created
        for number in range(TEMPLATES)
    )  # fmt: skip


def _incidents(services: int, days: float, now: datetime) -> None:
    rule = Rule.objects.get(name="cpu-sustained")
    owners = list(Service.objects.order_by("pk"))
    Alert.objects.bulk_create(
        Alert(
            rule=rule, subject=f"docker:{owner.name}", service=owner, severity="critical",
            text=f"{owner.name}: CPU 99.0 % of one core", opened_at=at,
            closed_at=None if number < min(5, services) else at + timedelta(minutes=5),
            incident_number=number + 1,
        )
        for number in range(ALERTS)
        for owner, at in [(owners[number % services], now - timedelta(days=days) * number / ALERTS)]
    )  # fmt: skip
    for number in range(INCIDENTS):
        opened = now - timedelta(days=days) * (INCIDENTS - number) / INCIDENTS
        name = owners[number % services].name
        burning = number >= INCIDENTS - 3
        incident = Incident.objects.create(
            number=number + 1, title=f"{name}: CPU 99.0 % of one core", slug="cpu", opened_at=opened,
            fingerprint=f"service:docker:{name}", services=[name], severity=Severity.CRITICAL,
            state=State.DETECTED if burning else State.RESOLVED,
            resolved_at=None if burning else opened + timedelta(minutes=9), frozen_at=opened,
        )  # fmt: skip
        TimelineEvent.objects.bulk_create(
            TimelineEvent(incident=incident, at=opened, kind=TimelineKind.SIGNAL, data={"title": "CPU"})
            for _event in range(EVENTS)
        )
        if number < ITEMS // 6:
            report = Report.objects.create(incident=incident, title=incident.title, analysed_at=opened)
            ChecklistItem.objects.bulk_create(
                ChecklistItem(report=report, order=order, text=f"measure {order}") for order in range(6)
            )
