"""A small named world: the seed's services, people with stated rights, one open incident."""

from __future__ import annotations

import time
import zlib
from datetime import datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.models import Group, User

from gateway import keys
from gateway.status import FeedState, GatewayStatus
from incidents.models import (
    ChecklistItem,
    Evidence,
    EvidenceKind,
    Incident,
    IncidentSignal,
    ItemState,
    Priority,
    Report,
    Severity,
    TimelineEvent,
    TimelineKind,
)
from portal.monitoring.models import (
    Alert,
    Endpoint,
    Health,
    LogTemplate,
    Observation,
    ProbeKind,
    Rule,
    RuleKind,
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
    Vantage,
)

GIB = 1024**3
MIB = 1024**2


def person(name: str, role: str) -> User:
    """Create somebody with one role."""
    user = User.objects.create_user(name, password="correct horse")
    user.groups.add(Group.objects.get(name=role))
    return user


def service(name: str, now: datetime, **state: Any) -> Service:
    """Create a service with its latest reading: healthy and quiet but for ``state``."""
    created = Service.objects.create(
        name=name,
        runtime=RuntimeKind.DOCKER,
        image=f"{name}:1.4.2",
        discovered_at=now - timedelta(days=3),
    )
    values = {
        "at": now - timedelta(seconds=3),
        "state": RunState.RUNNING,
        "started_at": now - timedelta(hours=5),
        "health": Health.HEALTHY,
        "health_interval_s": 30.0,
        "cpu_percent": 0.6,
        "memory_bytes": 84 * MIB,
        "memory_limit_bytes": 512 * MIB,
        "cpu_limit_cores": 1.0,
        "log_lines_per_s": 0.2,
    }
    ServiceState.objects.create(service=created, **(values | state))
    return created


def gateway(service_name: str, now: datetime) -> Service:
    """Create the seed's broken service: 397 failed checks, one hot core, 10.23 GB without a limit."""
    created = service(
        service_name,
        now,
        health=Health.UNHEALTHY,
        failing_streak=397,
        health_output="Healthcheck exceeded timeout (10s)",
        cpu_percent=102.8,
        cpu_limit_cores=None,
        memory_bytes=int(10.23 * GIB),
        memory_limit_bytes=None,
        log_lines_per_s=1840.0,
        log_rate_is_lower_bound=True,
        top_template="WebSocket connection timeout",
        top_template_share=0.98,
        log_lines_total=220_431,
    )
    rule, _new = Rule.objects.get_or_create(
        name="health streak of the world",
        defaults={"kind": RuleKind.FAILING_STREAK, "open_above": 1, "close_below": 1},
    )
    Alert.objects.create(
        rule=rule,
        subject=f"docker:{service_name}",
        service=created,
        severity="critical",
        value=397,
        text="397 failed health checks in a row",
        opened_at=now - timedelta(minutes=4),
        incident_number=7,
    )
    for text, count in (
        ("WebSocket connection timeout", 198_000),
        ("Reconnection failed after <n> attempts", 3900),
    ):
        LogTemplate.objects.create(
            service=created,
            fingerprint=text[:20],
            template=text,
            sample=text,
            count=count,
            first_seen=now - timedelta(minutes=9),
            last_seen=now - timedelta(seconds=2),
        )
    for number in range(120):
        Observation.objects.create(
            service=created,
            at=now - timedelta(seconds=15 * number),
            cpu_percent=102.8 - (number % 7),
            memory_bytes=int((10.23 - number * 0.02) * GIB),
            failing_streak=397 - number // 2,
            log_lines_per_s=1800.0,
        )
    for name, kind, vantage, url, ok, detail in (
        ("health", ProbeKind.HTTP, Vantage.HOST, "http://localhost:8000/health", True, "200"),
        ("ws", ProbeKind.WEBSOCKET, Vantage.DOMAIN, "wss://stock.example.com/ws", False, "502 Bad Gateway"),
    ):
        Endpoint.objects.create(
            service=created,
            name=name,
            kind=kind,
            vantage=vantage,
            url=url,
            ok=ok,
            detail=detail,
            at=now - timedelta(seconds=5),
            latency_ms=12.5 if ok else None,
        )
    return created


def incident(now: datetime, name: str = "api-gateway") -> Incident:
    """Create INC-7 about ``name`` with a timeline, evidence, a report and two measures."""
    opened = now - timedelta(minutes=4)
    created = Incident.objects.create(
        number=7,
        title=f"{name}: WebSocket 무한 재시도",
        slug="retry",
        fingerprint=f"service:docker:{name}",
        services=[name],
        severity=Severity.CRITICAL,
        opened_at=opened,
        impact_started_at=now - timedelta(hours=3, minutes=18),
    )
    IncidentSignal.objects.create(
        incident=created,
        key="streak",
        title="397 failed health checks in a row",
        severity=Severity.CRITICAL,
        opened_at=opened,
    )
    for after, kind, data in (
        (0, TimelineKind.OPENED, {"title": created.title, "severity": "critical"}),
        (1, TimelineKind.SIGNAL, {"key": "streak", "title": "397 failed health checks in a row"}),
        (4, TimelineKind.EVIDENCE, {}),
        (6, TimelineKind.DRAFTED, {}),
        (40, TimelineKind.STATE, {"field": "state", "old": "detected", "new": "acknowledged"}),
    ):
        TimelineEvent.objects.create(
            incident=created, at=opened + timedelta(seconds=after), kind=kind, data=data
        )
    Evidence.objects.create(
        incident=created,
        kind=EvidenceKind.METRICS,
        subject=name,
        captured_at=opened,
        payload=_packed(b'{"service":"api-gateway","cpu_percent":102.8}'),
        size=45,
        sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    )
    report = Report.objects.create(incident=created, title="Infrastructure Down", analysed_at=now)
    ChecklistItem.objects.create(
        report=report,
        order=1,
        text="Docker 리소스 제한 설정",
        priority=Priority.P0,
        state=ItemState.FAILING,
        verifier="docker.limits",
        target=name,
        observed="no memory limit",
        checked_at=now - timedelta(minutes=2),
        due=(now - timedelta(days=1)).date(),
    )
    ChecklistItem.objects.create(report=report, order=2, text="로그 레벨 조정", priority=Priority.P1)
    return created


def seed_services(now: datetime) -> list[Service]:
    """Create the seed's services, the broken one first."""
    return [
        gateway("api-gateway", now),
        service("frontend", now, cpu_percent=3.83, memory_bytes=257 * MIB),
        service("postgres", now, cpu_percent=0.9, memory_bytes=96 * MIB, health=Health.NONE),
        service("redis", now, cpu_percent=0.3, memory_bytes=18 * MIB, cpu_limit_cores=None),
        service("batch", now, state=RunState.EXITED, exit_code=0, health=Health.NONE, cpu_percent=None),
        service("old-cron", now, at=now - timedelta(minutes=6)),
    ]


def publish(client: redis.Redis, feed: FeedState = FeedState.LIVE, **fields: Any) -> None:
    """Write the gateway's status as its process does."""
    now = time.time()
    slot = settings.GATEWAY_UPSTREAM.keys[0].slot
    values: dict[str, Any] = {"session": feed.name, "since": now - 90, "rows_in": 1200, "topics": 12} | fields
    status = GatewayStatus(slot=slot, at=now, feed=feed, **values)
    client.set(keys.STATUS.format(slot=slot), status.encode(), ex=60)


def _packed(raw: bytes) -> bytes:
    return zlib.compress(raw)
