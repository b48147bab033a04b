"""Writes what a sweep saw, in short transactions, and hands back the samples for the rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from portal.monitoring import alerting, events, labels, snapshots, templates, trends
from portal.monitoring.collector import RESTART_WINDOW_S, Reading, Sweep
from portal.monitoring.models import (
    Alert,
    Endpoint,
    Health,
    Observation,
    RuleKind,
    RuleState,
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
)
from portal.monitoring.runtimes.base import Rates
from portal.monitoring.samples import MIB, Sample, of_runtime, of_service

#: Services written in one transaction.
CHUNK = 50

_MEASURED = (
    "cpu_percent", "memory_bytes", "host_cores", "pids", "network_rx_bytes_per_s", "network_tx_bytes_per_s",
    "block_read_bytes_per_s", "block_write_bytes_per_s", "recent_restarts", "log_lines_per_s",
    "log_rate_is_lower_bound", "log_lines_total", "log_window", "top_template", "top_template_count",
    "top_template_share", "rising_template", "rising_factor", "memory_points",
)  # fmt: skip
_INSPECTED = (
    "exit_code", "started_at", "finished_at", "stopped_on_purpose", "health", "failing_streak",
    "health_output", "health_interval_s", "cpu_limit_cores", "memory_limit_bytes", "restart_count", "inspect",
    "config_hash",
)  # fmt: skip
#: Columns that a reading's state and its history share; ``None`` where a runtime does not tell them.
_FLOWS = (
    "pids", "network_rx_bytes_per_s", "network_tx_bytes_per_s", "block_read_bytes_per_s",
    "block_write_bytes_per_s",
)  # fmt: skip
_WRITTEN = ("at", "state", "error", *_MEASURED, *_INSPECTED)


def record(sweep: Sweep) -> list[Sample]:
    """Store a sweep: services found, their latest state and history. Return the samples for the rules.

    A runtime that does not answer makes its services *unknown*: no sample of theirs, so no alert of theirs
    opens or closes.
    """
    if sweep.error:
        mark_unknown(sweep.runtime, sweep.error)
        return [of_runtime(sweep)]
    known = {
        service.name: service
        for service in Service.objects.filter(runtime=sweep.runtime).select_related("state")
    }
    # The newest of two containers that had one name is listed first.
    fresh = {reading.found.name: reading for reading in reversed(sweep.readings)}
    names = list(fresh)
    watched: list[tuple[Service, ServiceState, Reading]] = []
    for start in range(0, len(names), CHUNK):
        chunk = [fresh[name] for name in names[start : start + CHUNK]]
        with transaction.atomic():
            watched += _record_chunk(sweep.runtime, chunk, known)
    if sweep.events is not None:
        events.save(sweep.runtime, sweep.events, known)
    _close_ended(sweep, known, set(names))
    return [of_runtime(sweep), *_samples(watched, sweep)]


def _samples(watched: Sequence[tuple[Service, ServiceState, Reading]], sweep: Sweep) -> list[Sample]:
    """Return the samples of fresh readings and of what happened since the sweeps before."""
    since = sweep.at - timedelta(seconds=RESTART_WINDOW_S)
    happened = events.recent_events([service.pk for service, _state, _reading in watched], since)
    none = None if sweep.events is None else ()
    samples = [
        sample
        for service, state, reading in watched
        for sample in of_service(service, state, reading, happened.get(service.pk, none))
    ]
    if not sweep.is_mostly_silent:
        return samples
    # One incident for the runtime instead of one for each of its services.
    return [one for one in samples if one.kind is not RuleKind.SILENT or not one.value]


def mark_unknown(runtime: RuntimeKind, error: str) -> None:
    """Show every service of ``runtime`` as unknown; the age keeps counting from its last reading."""
    ServiceState.objects.filter(service__runtime=runtime).exclude(state=RunState.GONE).exclude(
        state=RunState.UNKNOWN, error=error[:300]
    ).update(state=RunState.UNKNOWN, error=error[:300])


def _record_chunk(
    runtime: RuntimeKind, readings: Iterable[Reading], known: dict[str, Service]
) -> list[tuple[Service, ServiceState, Reading]]:
    """Store readings; return those of watched services with their rows."""
    states: list[ServiceState] = []
    observations: list[Observation] = []
    watched: list[tuple[Service, ServiceState, Reading]] = []
    for reading in readings:
        service = _service(runtime, reading, known.get(reading.found.name))
        known[service.name] = service
        if not service.enabled:
            continue
        before = getattr(service, "state", None)
        state = _state(service, reading)
        if state.state == RunState.RUNNING and state.started_at and not _same_start(before, state):
            snapshots.take(service, state.inspect, started_at=state.started_at)
        states.append(state)
        if reading.memory_bytes is not None:
            observations.append(
                Observation(
                    service=service,
                    at=reading.at,
                    cpu_percent=reading.cpu_percent,
                    memory_bytes=reading.memory_bytes,
                    failing_streak=state.failing_streak,
                    restart_count=state.restart_count,
                    log_lines_per_s=reading.log_rate,
                    **{name: getattr(state, name) for name in _FLOWS},
                )
            )
        watched.append((service, state, reading))
    ServiceState.objects.bulk_create(
        states, update_conflicts=True, unique_fields=["service"], update_fields=_WRITTEN
    )
    Observation.objects.bulk_create(observations)
    return watched


def _service(runtime: RuntimeKind, reading: Reading, service: Service | None) -> Service:
    """Return the row of a found service, made or brought up to date."""
    found = reading.found
    values = {
        "runtime_id": found.runtime_id[:128],
        "image": found.image[:300],
        "labels": dict(found.labels),
    }
    if service is None:
        service = Service.objects.create(
            runtime=runtime,
            name=found.name,
            discovered_at=reading.at,
            resolve_after_s=labels.resolve_after_s(found.labels),
            **values,
        )
        labels.sync_endpoints(service)
        return service
    changed = [name for name, value in values.items() if getattr(service, name) != value]
    if not changed:
        return service
    for name in changed:
        setattr(service, name, values[name])
    if "labels" in changed:
        service.resolve_after_s = labels.resolve_after_s(found.labels) or service.resolve_after_s
        changed.append("resolve_after_s")
        labels.sync_endpoints(service)
    service.save(update_fields=changed)
    return service


def _state(service: Service, reading: Reading) -> ServiceState:
    """Return the latest state after ``reading``; what it does not tell stays as it was and grows old."""
    old = getattr(service, "state", None)
    state = ServiceState(service=service, at=reading.at, state=reading.found.state)
    if old is not None:
        for name in _WRITTEN:
            setattr(state, name, getattr(old, name))
    seen = reading.inspection
    state.state = (seen.state if seen else reading.found.state).value
    state.error = reading.error[:300]
    if not reading.error:
        state.at = reading.at
    if seen is not None:
        for name in ("exit_code", "started_at", "finished_at", "stopped_on_purpose", "restart_count"):
            setattr(state, name, getattr(seen, name))
        state.cpu_limit_cores, state.memory_limit_bytes = seen.cpu_limit_cores, seen.memory_limit_bytes
        state.health, state.failing_streak = seen.health.status.value, seen.health.failing_streak
        state.health_output, state.health_interval_s = (
            templates.safe_text(seen.health.output),
            seen.health.interval_s,
        )
        state.inspect = dict(seen.config)
        state.config_hash = snapshots.content_hash(state.inspect)
        state.recent_restarts = reading.recent_restarts
    if reading.memory_bytes is not None:
        state.cpu_percent, state.memory_bytes = reading.cpu_percent, reading.memory_bytes
        flow, usage = reading.rates or Rates(), reading.usage
        state.network_rx_bytes_per_s, state.network_tx_bytes_per_s = flow.network_rx, flow.network_tx
        state.block_read_bytes_per_s, state.block_write_bytes_per_s = flow.block_read, flow.block_write
        state.host_cores, state.pids = (usage.host_cores, usage.pids) if usage else (None, None)
        if old is not None and state.started_at != old.started_at:
            state.memory_points = {}
        state.memory_points = trends.add_point(
            state.memory_points, reading.at.timestamp(), round(reading.memory_bytes / MIB, 2)
        )
    if reading.logs is not None:
        templates.count(service, state, reading)
    if state.state not in (RunState.RUNNING, RunState.PAUSED):
        state.cpu_percent = state.memory_bytes = state.log_lines_per_s = state.pids = None
        state.network_rx_bytes_per_s = state.network_tx_bytes_per_s = None
        state.block_read_bytes_per_s = state.block_write_bytes_per_s = None
        state.health = Health.NONE
    service.state = state
    return state


def _same_start(before: ServiceState | None, state: ServiceState) -> bool:
    """Whether this start with this configuration was seen before; limits can change while it runs."""
    known = before and (before.started_at, before.config_hash)
    return known == (state.started_at, state.config_hash)


def _close_ended(sweep: Sweep, known: dict[str, Service], listed: set[str]) -> None:
    """Mark services that are not there any more, and close the alerts of those that ended on purpose."""
    gone = [service for name, service in known.items() if name not in listed]
    fresh = [service for service in gone if _state_of(service) != RunState.GONE]
    if fresh:
        ServiceState.objects.filter(service__in=fresh).update(
            state=RunState.GONE, at=sweep.at, error="", failing_streak=0, health=Health.NONE,
            cpu_percent=None, memory_bytes=None, log_lines_per_s=None,
        )  # fmt: skip
    stopped = [
        service
        for name, service in known.items()
        if name in listed and _state_of(service) == RunState.EXITED and service.state.stopped_on_purpose
    ]
    forget(gone, reason="removed", at=sweep.at)
    forget(stopped, reason="stopped", at=sweep.at)


def _state_of(service: Service) -> str:
    state = getattr(service, "state", None)
    return str(state.state) if state else ""


def forget(services: Sequence[Service], *, reason: str, at: datetime) -> list[Alert]:
    """Close every alert on ``services`` and their endpoints and start their rules afresh."""
    if not services:
        return []
    closed = alerting.close_alerts(Alert.objects.filter(service__in=services), reason=reason, at=at)
    subjects = [f"{service.runtime}:{service.name}" for service in services]
    endpoints = Endpoint.objects.filter(service__in=services).values_list("pk", flat=True)
    subjects += [f"endpoint:{number}" for number in endpoints]
    alerting.forget_states(RuleState.objects.filter(subject__in=subjects))
    return closed
