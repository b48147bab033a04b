"""Evidence collectors: what is frozen when an incident opens. Live where possible, else from stored rows.

Each one has its own time limit; together they stay under 15 s. Everything leaves here masked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.utils.translation import gettext as _

from gateway.status import read_attempts, read_statuses
from incidents.models import EvidenceKind
from incidents.registry import Captured
from portal.monitoring import store
from portal.monitoring.logs import mask_secrets, safe_line, safe_lines, summarise
from portal.monitoring.models import Endpoint, LogTemplate, Observation, RuntimeKind, Service, ServiceState
from portal.monitoring.runtimes.base import (
    HealthReading,
    Inspection,
    LogWindow,
    Runtime,
    RuntimeProblem,
    RuntimeRefused,
)
from portal.monitoring.samples import measured
from portal.operations.live import ask

#: Minutes of history before the incident, and rows kept of it.
HISTORY = timedelta(minutes=30)
MAX_SERIES = 400
MAX_SERVICES = 5
MAX_OTHERS = 100
#: Log lines frozen, and seconds for one live read and for all of one collector's.
MAX_TAIL = 5_000
LIVE_S = 3.0
COLLECTOR_S = 4.0
#: Seconds that templates count.
TEMPLATE_WINDOW_S = 600


def watched(names: list[str]) -> list[Service]:
    """Return the services of an incident; a gateway slot stands for the gateway's process."""
    slots = {key.slot for key in settings.GATEWAY_UPSTREAM.keys}
    wanted = {"gateway" if name in slots else name for name in names}
    found = Service.objects.filter(name__in=wanted, state__isnull=False).select_related("state")
    return list(found.order_by("runtime", "name")[:MAX_SERVICES])


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def metrics(names: list[str], now: datetime) -> Iterator[Captured]:
    """Yield the latest numbers, 30 minutes of history, and how the other services were."""
    for service in watched(names):
        state = service.state
        rows = Observation.objects.filter(service=service, at__gte=now - HISTORY, at__lte=now)
        series = [
            {
                "at": row.at.isoformat(),
                "cpu_percent": row.cpu_percent,
                "memory_bytes": row.memory_bytes,
                "failing_streak": row.failing_streak,
                "restart_count": row.restart_count,
                "log_lines_per_s": row.log_lines_per_s,
            }
            for row in reversed(rows.order_by("-at")[:MAX_SERIES])
        ]
        yield Captured(
            kind=EvidenceKind.METRICS,
            subject=service.name,
            data={
                "service": service.name,
                "runtime": service.runtime,
                "at": _iso(state.at),
                **measured(state),
                "log_lines_total": state.log_lines_total,
                "series": series,
                "others": _others(service),
            },
            partial=bool(state.error),
            note=state.error,
        )


def _others(service: Service) -> list[dict[str, Any]]:
    states = ServiceState.objects.exclude(service=service).exclude(state="gone").select_related("service")
    return [
        {
            "service": state.service.name,
            "state": state.state,
            "health": state.health,
            "cpu_percent": state.cpu_percent,
            "memory_bytes": state.memory_bytes,
        }
        for state in states.order_by("service__name")[:MAX_OTHERS]
    ]


def _inspect(service: Service) -> Inspection:
    """Inspect a container now. A process's streak lives in the sweeps, so its stored row is the truth."""
    if service.runtime != RuntimeKind.DOCKER:
        raise RuntimeRefused("")
    return ask(service, lambda runtime, runtime_id: runtime.inspect(runtime_id), LIVE_S)


def configuration(names: list[str], _now: datetime) -> Iterator[Captured]:
    """Yield the running configuration."""
    for service in _in_time(names):
        partial, note = False, ""
        config: Mapping[str, Any] = service.state.inspect
        try:
            config = _inspect(service).config
        except RuntimeProblem as error:
            note, partial = str(error), service.runtime == RuntimeKind.DOCKER
        yield Captured(
            kind=EvidenceKind.INSPECT,
            subject=service.name,
            data={
                "service": service.name,
                "image": config.get("image") or service.image,
                **{
                    key: config.get(key)
                    for key in (
                        "image_id",
                        "limits",
                        "log_options",
                        "health_check",
                        "restart_policy",
                        "restart_limit",
                    )
                },
                "env_names": config.get("env_names") or [],
                "labels": {
                    key: mask_secrets(f"{key}={value}").partition("=")[2]
                    for key, value in (config.get("labels") or service.labels or {}).items()
                },
            },
            partial=partial,
            note=note[:300],
        )


def _in_time(names: list[str]) -> Iterator[Service]:
    """Yield the services while this collector has time left."""
    deadline = time.monotonic() + COLLECTOR_S
    for service in watched(names):
        if time.monotonic() < deadline:
            yield service


def health(names: list[str], _now: datetime) -> Iterator[Captured]:
    """Yield the health check's verdict and its last runs."""
    for service in _in_time(names):
        partial, note, state = False, "", service.state
        reading: HealthReading | None = None
        try:
            reading = _inspect(service).health
        except RuntimeProblem as error:
            note, partial = str(error), service.runtime == RuntimeKind.DOCKER
        log: list[dict[str, Any]] = []
        if reading is not None:
            log = [
                {
                    "at": run.at.isoformat(),
                    "exit_code": run.exit_code,
                    "output": "\n".join(safe_lines(run.output.splitlines())[0]),
                }
                for run in reading.log
            ]
        elif state.health_output:
            log = [{"at": _iso(state.at), "exit_code": None, "output": state.health_output}]
        yield Captured(
            kind=EvidenceKind.HEALTH,
            subject=service.name,
            data={
                "service": service.name,
                "status": reading.status.value if reading else state.health,
                "failing_streak": reading.failing_streak if reading else state.failing_streak,
                "interval_s": reading.interval_s if reading else state.health_interval_s,
                "log": log,
            },
            partial=partial,
            note=note[:300],
        )


def logs(names: list[str], now: datetime) -> Iterator[Captured]:
    """Yield the templates of ten minutes and the newest lines."""

    def tail_of(runtime: Runtime, runtime_id: str) -> LogWindow:
        return runtime.logs(runtime_id, cursor="", limit=MAX_TAIL)

    for service in _in_time(names):
        state = service.state
        tail: list[str] = []
        note = ""
        try:
            tail = list(ask(service, tail_of, LIVE_S).lines)[-MAX_TAIL:]
        except RuntimeProblem as error:
            note = str(error)
        rows = list(LogTemplate.objects.filter(service=service).order_by("-count")[:20])
        total = sum(int(count) for count in dict(state.log_window).values())
        templates = [(row.template, row.count, row.sample) for row in rows]
        if not templates and tail:
            found = summarise(tail)
            total, templates = found.lines, [(one.template, one.count, one.sample) for one in found.templates]
        yield Captured(
            kind=EvidenceKind.LOGS,
            subject=service.name,
            data={
                "service": service.name,
                "lines_total": total,
                "lines_total_is_lower_bound": state.log_rate_is_lower_bound,
                "window_s": TEMPLATE_WINDOW_S,
                "templates": [
                    {
                        "template": template,
                        "count": count,
                        "share": round(min(1.0, count / total), 4) if total else None,
                        "sample": sample,
                    }
                    for template, count, sample in templates
                ],
                "tail": safe_lines(tail)[0],
            },
            partial=bool(note),
            note=note[:300],
        )


def probes(names: list[str], _now: datetime) -> Iterable[Captured]:
    """Return the probe matrix: the incident's endpoints first, then all others."""
    services = {service.pk for service in watched(names)}
    endpoints = Endpoint.objects.filter(enabled=True).select_related("service").order_by("name")[:200]
    ordered = sorted(endpoints, key=lambda endpoint: endpoint.service_id not in services)
    if not ordered:
        return []
    rows = [
        {
            "name": endpoint.name,
            "service": endpoint.service.name if endpoint.service else "",
            "kind": endpoint.kind,
            "vantage": endpoint.vantage,
            "url": mask_secrets(endpoint.url),
            "ok": endpoint.ok,
            "detail": endpoint.detail,
            "latency_ms": endpoint.latency_ms,
            "at": _iso(endpoint.at),
        }
        for endpoint in ordered
    ]
    return [Captured(kind=EvidenceKind.PROBES, subject="", data={"endpoints": rows})]


def gateway(_names: list[str], _now: datetime) -> Iterable[Captured]:
    """Return every slot's status with its attempts."""
    slots = [key.slot for key in settings.GATEWAY_UPSTREAM.keys]
    try:
        found = [
            asdict(status)
            | {
                "last_error": safe_line(status.last_error),
                "attempts_count": status.attempts,
                "attempts": [asdict(one) for one in read_attempts(store.client(), status.slot)],
            }
            for status in read_statuses(store.client(), slots)
        ]
    except (redis.RedisError, ValueError, TypeError) as error:
        note = _("Redis does not answer: %(error)s") % {"error": error}
        data: Mapping[str, Any] = {"slots": []}
        return [Captured(kind=EvidenceKind.GATEWAY, subject="", data=data, partial=True, note=note[:300])]
    return [Captured(kind=EvidenceKind.GATEWAY, subject="", data={"slots": found})]
