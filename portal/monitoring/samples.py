"""From readings to the numbers that rules look at. ``None`` is a gap: it neither opens nor closes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from portal.monitoring.collector import Reading, Sweep
from portal.monitoring.events import ContainerEvent, crashes, oom_kills
from portal.monitoring.logs import mask_secrets, safe_line
from portal.monitoring.models import Endpoint, Health, Rule, RuleKind, RunState, Service, ServiceState
from portal.monitoring.trends import trend

MIB = 1024 * 1024
#: A container that ended longer than this before it was first seen is history, not an outage.
NEW_END_S = 60.0
#: Lines of ten minutes below which the share of one template says nothing.
LINES_FOR_SHARE = 5_000
#: Minutes until the limit of memory that does not grow, or that is less than half full.
PLENTY_MIN = 10_080.0
HALF_FULL = 0.5
#: Seconds for which an end counts, as for restarts.
RECENT_S = 600.0
#: A container that took another's place and has run for so long (s) has left that one's ends behind.
SETTLED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number of one subject at ``at``. ``fingerprint`` names the incident it belongs to.

    ``began`` tells since when it has been so, where the sample knows; ``extra`` fills the alert's sentence.
    ``by_window`` gives the value of kinds that look at a window, by the rule's own length in seconds.
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
    by_window: Callable[[float], float | None] | None = None

    def concerns(self, rule: Rule) -> bool:
        """Whether ``rule`` looks at this service or endpoint."""
        return fnmatchcase(self.name, rule.service_pattern)

    def measured_for(self, rule: Rule) -> Sample:
        """Return the sample with the value that ``rule`` asks for."""
        return replace(self, value=self.by_window(rule.sustain_s)) if self.by_window else self


def of_service(
    service: Service, state: ServiceState, reading: Reading, events: Sequence[ContainerEvent] | None = None
) -> Iterator[Sample]:
    """Yield the samples of one service's fresh reading.

    ``events`` are those of the last ten minutes, ``None`` where the runtime has none. A crash counts as a
    restart even where the runtime's own counter does not, as when a person starts it.
    """
    events = None if events is None else _still_counting(reading, events)
    happenings = events or ()
    restarts = max(reading.recent_restarts, len(crashes(happenings)))
    values: dict[RuleKind, tuple[float | None, datetime | None]] = {
        RuleKind.DOWN: _down(service, state, reading),
        RuleKind.RESTARTS: (float(restarts), None),
        RuleKind.SILENT: (_silent_s(state, reading), None),
        RuleKind.OOM: (_oom_kills(service, reading, happenings), None),
        RuleKind.CRASH: (None if events is None else float(len(crashes(events))), None),
    }
    if state.state == RunState.RUNNING and not reading.error:
        values |= _running(state, reading)
    sample = Sample(
        kind=RuleKind.DOWN,
        subject=f"{service.runtime}:{service.name}",
        name=service.name,
        fingerprint=f"service:{service.runtime}:{service.name}",
        at=reading.at,
        value=None,
        service=service,
        extra=happened(happenings)
        | _known(measured(state))
        | {"lower_bound": reading.log_rate_is_lower_bound},
    )
    for kind, (value, began) in values.items():
        if value is not None:
            yield replace(sample, kind=kind, value=value, began=began)
    if state.state == RunState.RUNNING and not reading.error:
        yield replace(sample, kind=RuleKind.MEMORY_SLOPE, by_window=lambda s: _memory_slope(state, s))
        yield replace(sample, kind=RuleKind.MEMORY_LEFT, by_window=lambda s: _memory_left(state, s))


def _still_counting(reading: Reading, events: Sequence[ContainerEvent]) -> Sequence[ContainerEvent]:
    """Leave out what befell the containers that this one replaced, once it has settled.

    Until then it counts: something that puts a new container in the place of each one that crashes is a
    loop, too.
    """
    seen = reading.inspection
    if seen is None or seen.state != RunState.RUNNING or seen.started_at is None:
        return events
    if (reading.at - seen.started_at).total_seconds() < SETTLED_S:
        return events
    return [event for event in events if event.runtime_id == reading.found.runtime_id]


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
        RuleKind.TEMPLATE_SHARE: (_template_share(state, reading), None),
        RuleKind.TEMPLATE_RISING: (state.rising_factor, None),
    }


def _template_share(state: ServiceState, reading: Reading) -> float | None:
    """Return the top template's share in percent, 0 when there are too few lines to tell."""
    if reading.logs is None:
        return None
    lines = sum(state.log_window.values())
    return (state.top_template_share or 0.0) * 100 if lines >= LINES_FOR_SHARE else 0.0


def _memory_slope(state: ServiceState, window_s: float) -> float | None:
    """Return the growth in MiB a minute of memory that nothing bounds."""
    if state.memory_limit_bytes:
        return 0.0
    grown = trend(state.memory_points, window_s=window_s)
    if grown is None:
        return 0.0 if _is_young(state, window_s) else None
    return grown.per_minute


def _is_young(state: ServiceState, window_s: float) -> bool:
    """Whether it started within the window, over which it therefore grew nothing: a restart ends a leak."""
    return state.started_at is not None and (state.at - state.started_at).total_seconds() < window_s


def _memory_left(state: ServiceState, window_s: float) -> float | None:
    """Return the minutes until memory reaches its limit, were it to grow as it did."""
    if not state.memory_limit_bytes:
        return PLENTY_MIN
    grown = trend(state.memory_points, window_s=window_s)
    if grown is None:
        return PLENTY_MIN if _is_young(state, window_s) else None
    limit = state.memory_limit_bytes / MIB
    if grown.per_minute <= 0 or grown.last < HALF_FULL * limit:
        return PLENTY_MIN
    return min(PLENTY_MIN, max(0.0, limit - grown.last) / grown.per_minute)


def _is_history(service: Service, ended: datetime) -> bool:
    return ended < service.discovered_at - timedelta(seconds=NEW_END_S)


def _oom_kills(service: Service, reading: Reading, events: Sequence[ContainerEvent]) -> float | None:
    """Return kills for lack of memory: the events', or at least the one that ended it."""
    seen = reading.inspection
    if seen is None:
        return None
    kills = len(oom_kills(events))
    ended = seen.finished_at or reading.at
    recent = (reading.at - ended).total_seconds() < RECENT_S or seen.state == RunState.EXITED
    last = seen.oom_killed and recent and not _is_history(service, ended)
    return float(max(kills, int(last)))


def _down(service: Service, state: ServiceState, reading: Reading) -> tuple[float | None, datetime | None]:
    if state.state == RunState.RUNNING:
        return 0.0, None
    if state.state == RunState.PAUSED:
        return 1.0, None
    if state.state != RunState.EXITED or state.stopped_on_purpose is not False:
        return None, None
    ended = state.finished_at or reading.at
    if _is_history(service, ended):
        return None, None
    return 1.0, ended


def _silent_s(state: ServiceState, reading: Reading) -> float | None:
    """Return how long a running service has given no reading; 0 when this one did."""
    if state.state != RunState.RUNNING:
        return None
    return max(0.0, (reading.at - state.at).total_seconds()) if reading.error else 0.0


def of_endpoint(endpoint: Endpoint) -> list[Sample]:
    """Return the samples of an endpoint's fresh probe: whether it failed, its latency, its certificate."""
    if endpoint.at is None:
        raise AssertionError("a probed endpoint has a time")
    service = endpoint.service
    failed = Sample(
        kind=RuleKind.PROBE,
        subject=f"endpoint:{endpoint.pk}",
        name=service.name if service else endpoint.name,
        fingerprint=f"service:{service.runtime}:{service.name}" if service else f"endpoint:{endpoint.pk}",
        at=endpoint.at,
        value=None if endpoint.ok is None else 0.0 if endpoint.ok else 1.0,
        service=service,
        extra={"endpoint": endpoint.name, "url": mask_secrets(endpoint.url), "result": endpoint.detail},
    )
    samples = [failed]
    if endpoint.ok:
        samples.append(replace(failed, kind=RuleKind.LATENCY, value=endpoint.latency_ms))
    expires = endpoint.expires_at
    if expires is not None:
        days = (expires - endpoint.at).total_seconds() / 86_400
        extra = {**failed.extra, "expires": expires.isoformat()}
        samples.append(replace(failed, kind=RuleKind.TLS, value=days, extra=extra))
    return samples


def of_runtime(sweep: Sweep) -> Sample:
    """Return the sample of a whole runtime: 1 when it did not answer, or not for most of its services."""
    return Sample(
        kind=RuleKind.COLLECTOR,
        subject=f"collector:{sweep.runtime.value}",
        name=str(sweep.runtime.label),
        fingerprint=f"collector:{sweep.runtime.value}",
        at=sweep.at,
        value=float(bool(sweep.error) or sweep.is_mostly_silent),
        extra={
            "result": safe_line(sweep.error)[:300],
            "ms": sweep.ms,
            "silent": sweep.silent,
            "services": len(sweep.readings),
        },
    )
