"""From readings to the numbers that rules look at. ``None`` is a gap: it neither opens nor closes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from portal.monitoring.collector import Reading
from portal.monitoring.events import ContainerEvent, crashes, oom_kills
from portal.monitoring.logs import mask_secrets
from portal.monitoring.models import Endpoint, Health, RuleKind, RunState, Service, ServiceState

MIB = 1024 * 1024
#: A container that ended longer than this before it was first seen is history, not an outage.
NEW_END_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number of one subject at ``at``. ``fingerprint`` names the incident it belongs to.

    ``began`` tells since when it has been so, where the sample knows; ``extra`` fills the alert's sentence.
    """

    kind: RuleKind
    subject: str
    name: str
    fingerprint: str
    at: datetime
    value: float | None
    service: Service | None = None
    began: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def of_service(
    service: Service, state: ServiceState, reading: Reading, events: Sequence[ContainerEvent] = ()
) -> Iterator[Sample]:
    """Yield the samples of one service's fresh reading and its ``events`` of the last ten minutes.

    A crash counts as a restart even where the runtime's own counter does not, as when a person starts it.
    """
    restarts = max(reading.recent_restarts, len(crashes(events)))
    values: dict[RuleKind, tuple[float | None, datetime | None]] = {
        RuleKind.DOWN: _down(service, state, reading),
        RuleKind.RESTARTS: (float(restarts), None),
        RuleKind.SILENT: (_silent_s(state, reading), None),
    }
    if state.state == RunState.RUNNING and not reading.error:
        values |= _running(state, reading)
    for kind, (value, began) in values.items():
        if value is not None:
            yield Sample(
                kind=kind,
                subject=f"{service.runtime}:{service.name}",
                name=service.name,
                fingerprint=f"service:{service.runtime}:{service.name}",
                at=reading.at,
                value=value,
                service=service,
                began=began,
                extra=happened(events)
                | _known(measured(state))
                | {"lower_bound": reading.log_rate_is_lower_bound},
            )


def happened(events: Sequence[ContainerEvent]) -> dict[str, Any]:
    """Return what events tell: crashes and OOM kills, and how the last crash ended; empty without any."""
    ended, killed = crashes(events), oom_kills(events)
    told: dict[str, Any] = {}
    if ended:
        told = {
            "crashes": len(ended),
            "exit_code": ended[-1].exit_code,
            "crashed_at": ended[-1].at.isoformat(),
        }
    if killed:
        told |= {"oom_kills": len(killed), "oom_at": killed[-1].at.isoformat()}
    return told


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave an exit code out that a running service does not have, so that the last crash's stands."""
    return {name: value for name, value in values.items() if name != "exit_code" or value is not None}


def measured(state: ServiceState) -> dict[str, Any]:
    """Return the measured values that an alert carries with it, under the names of the metrics evidence."""
    return {
        "state": str(state.state),
        "exit_code": state.exit_code,
        "health": str(state.health),
        "failing_streak": state.failing_streak,
        "health_interval_s": state.health_interval_s,
        "cpu_percent": state.cpu_percent,
        "cpu_limit_cores": state.cpu_limit_cores,
        "memory_bytes": state.memory_bytes,
        "memory_limit_bytes": state.memory_limit_bytes,
        "restart_count": state.restart_count,
        "log_lines_per_s": state.log_lines_per_s,
        "log_rate_is_lower_bound": state.log_rate_is_lower_bound,
        "top_template": state.top_template,
        "top_template_share": state.top_template_share,
        "rising_template": state.rising_template,
    }


def _running(state: ServiceState, reading: Reading) -> dict[RuleKind, tuple[float | None, datetime | None]]:
    limit, memory = state.memory_limit_bytes, reading.memory_bytes
    cpu = reading.cpu_percent
    streak = 0 if state.health == Health.STARTING else state.failing_streak
    interval = timedelta(seconds=state.health_interval_s or 0)
    return {
        RuleKind.FAILING_STREAK: (float(streak), reading.at - interval * max(0, streak - 1)),
        RuleKind.CPU: (None if cpu is None else cpu / (state.cpu_limit_cores or 1.0), None),
        RuleKind.MEMORY_LIMIT: (None if memory is None else memory / limit * 100 if limit else 0.0, None),
        RuleKind.MEMORY_NO_LIMIT: (None if memory is None else 0.0 if limit else memory / MIB, None),
        RuleKind.LOG_FLOOD: (reading.log_rate, None),
    }


def _down(service: Service, state: ServiceState, reading: Reading) -> tuple[float | None, datetime | None]:
    if state.state == RunState.RUNNING:
        return 0.0, None
    if state.state == RunState.PAUSED:
        return 1.0, None
    if state.state != RunState.EXITED or state.stopped_on_purpose is not False:
        return None, None
    ended = state.finished_at or reading.at
    if ended < service.discovered_at - timedelta(seconds=NEW_END_S):
        return None, None
    return 1.0, ended


def _silent_s(state: ServiceState, reading: Reading) -> float | None:
    """Return how long a running service has given no reading; 0 when this one did."""
    if state.state != RunState.RUNNING:
        return None
    return max(0.0, (reading.at - state.at).total_seconds()) if reading.error else 0.0


def of_endpoint(endpoint: Endpoint) -> Sample:
    """Return the sample of an endpoint's fresh probe: 1 failed, 0 passed."""
    if endpoint.at is None:
        raise AssertionError("a probed endpoint has a time")
    service = endpoint.service
    return Sample(
        kind=RuleKind.PROBE,
        subject=f"endpoint:{endpoint.pk}",
        name=service.name if service else endpoint.name,
        fingerprint=f"service:{service.runtime}:{service.name}" if service else f"endpoint:{endpoint.pk}",
        at=endpoint.at,
        value=None if endpoint.ok is None else 0.0 if endpoint.ok else 1.0,
        service=service,
        extra={"endpoint": endpoint.name, "url": mask_secrets(endpoint.url), "result": endpoint.detail},
    )
