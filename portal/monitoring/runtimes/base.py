"""What a runtime can be asked, and the readings it answers with. A runtime never writes a row.

Errors::

    RuntimeProblem            something about a runtime went wrong; the message is one sentence
    ├── RuntimeUnavailable    the runtime itself does not answer: back off, services become unknown
    ├── ServiceMissing        the service is not there (any more)
    └── RuntimeRefused        the runtime answered with an error for this one call
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from portal.monitoring.models import Health, RunState, RuntimeKind

#: Most bytes and lines read from one service's log in one sweep.
MAX_LOG_BYTES = 5 * 1024 * 1024
MAX_LOG_LINES = 10_000
#: Characters of one log line that are looked at.
MAX_LINE = 2_000
#: A cursor that asks for the newest lines, however old they are.
NEWEST = "newest"
#: Characters kept of a health check's output.
MAX_OUTPUT = 2_000


class RuntimeProblem(Exception):
    """Base of this package's errors."""


class RuntimeUnavailable(RuntimeProblem):
    """The runtime does not answer."""


class ServiceMissing(RuntimeProblem):
    """The service is not there."""


class RuntimeRefused(RuntimeProblem):
    """The runtime refused one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One service as the runtime lists it. ``labels`` are not trusted."""

    runtime_id: str
    name: str
    state: RunState
    image: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counters of one moment. ``cpu_s`` is CPU seconds since ``started_at``; memory is without page cache.

    Network and block counters are bytes since the start, summed over interfaces and devices; ``None`` where
    the runtime does not count them. ``host_cores`` is the number of cores that the host has online.
    """

    at: datetime
    cpu_s: float
    memory_bytes: int
    started_at: datetime | None = None
    host_cores: int | None = None
    network_rx_bytes: int | None = None
    network_tx_bytes: int | None = None
    block_read_bytes: int | None = None
    block_write_bytes: int | None = None
    pids: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Bytes per second between two samples; ``None`` is no data."""

    network_rx: float | None = None
    network_tx: float | None = None
    block_read: float | None = None
    block_write: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEvent:
    """Something that happened to a service at ``at``. ``key`` is the same whenever it is read again.

    ``action`` is ``die``, ``oom``, ``health_status``, ``start``, ``restart`` or ``destroy``. An end has its
    ``exit_code`` (``None`` when the runtime forgot it) and whether somebody asked for it; ``health_status``
    has the verdict in ``health``. ``labels`` are ours only, and not trusted.
    """

    key: str
    at: datetime
    runtime_id: str
    name: str
    action: str
    exit_code: int | None = None
    on_purpose: bool | None = None
    health: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventWindow:
    """Events up to ``until`` (the runtime's clock), oldest first, some of which were read before.

    ``lost``: the runtime may have forgotten some of this window before it was read.
    """

    events: Sequence[RuntimeEvent]
    until: datetime
    lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One run of a health check."""

    at: datetime
    exit_code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReading:
    """A health check's verdict. ``interval_s`` is ``None`` when the runtime does not tell it."""

    status: Health = Health.NONE
    failing_streak: int = 0
    interval_s: float | None = None
    log: Sequence[HealthCheck] = ()

    @property
    def output(self) -> str:
        """Output of the last run, empty without one."""
        return self.log[-1].output if self.log else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """State and configuration of one service; ``config`` is allow-listed (environment *names* only)."""

    state: RunState
    health: HealthReading = HealthReading()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    stopped_on_purpose: bool | None = None
    restart_count: int = 0
    cpu_limit_cores: float | None = None
    memory_limit_bytes: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWindow:
    """Lines since a cursor. ``span_s`` is the time they cover; ``capped``: there were more than were read.

    ``cursor`` is opaque: hand it back to go on from there.
    """

    lines: Sequence[str]
    span_s: float | None
    cursor: str
    capped: bool = False


class Runtime(Protocol):
    """Where services run. Every call is bounded in time and raises only :class:`RuntimeProblem`."""

    @property
    def kind(self) -> RuntimeKind:
        """Which runtime this is."""
        ...

    def list(self) -> list[Found]:
        """Return every watched service, running or not.

        Raises:
            RuntimeProblem: the runtime does not answer, or refuses.
        """
        ...

    def sample(self, runtime_id: str) -> Usage:
        """Return CPU and memory counters.

        Raises:
            RuntimeProblem: it is not running, or the runtime refuses.
        """
        ...

    def health(self, runtime_id: str) -> HealthReading:
        """Return the health check's verdict.

        Raises:
            RuntimeProblem: it is gone, or the runtime refuses.
        """
        ...

    def logs(self, runtime_id: str, *, cursor: str, limit: int = MAX_LOG_LINES) -> LogWindow:
        """Return lines written after ``cursor``, newest kept when capped.

        An empty cursor asks for recent ones, ``NEWEST`` for the last ``limit`` whatever their age.

        Raises:
            RuntimeProblem: it is gone, or its log cannot be read.
        """
        ...

    def events(self, since: datetime, until: datetime) -> EventWindow:
        """Return what happened after ``since`` and up to ``until``, both by this machine's clock.

        Raises:
            RuntimeProblem: the runtime does not answer, or refuses.
        """
        ...

    def inspect(self, runtime_id: str) -> Inspection:
        """Return state and configuration.

        Raises:
            RuntimeProblem: it is gone, or the runtime refuses.
        """
        ...

    def is_guarded(self) -> bool | None:
        """Whether nothing but the calls above is allowed here, ``None`` when it cannot be told."""
        ...

    def restart(self, runtime_id: str) -> None:
        """Stop it gracefully (10 s) and start it again.

        Raises:
            RuntimeProblem: it is gone, or the runtime refuses.
        """
        ...

    def stop(self, runtime_id: str) -> None:
        """Stop it gracefully (10 s); one that is stopped stays so.

        Raises:
            RuntimeProblem: it is gone, or the runtime refuses.
        """
        ...

    def start(self, runtime_id: str) -> None:
        """Start it; one that runs goes on.

        Raises:
            RuntimeProblem: it is gone, or the runtime refuses.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def cpu_percent(previous: Usage | None, current: Usage) -> float | None:
    """Return CPU between two samples in percent of one core, ``None`` when it cannot be told.

    A counter that went back, or another start, means a new run: its mean since the start is returned when
    that start is after the previous sample (or at most a minute ago without one).
    """
    base_at, base_cpu = (previous.at, previous.cpu_s) if previous else (None, 0.0)
    restarted = previous and (previous.started_at != current.started_at or previous.cpu_s > current.cpu_s)
    if previous is None or restarted:
        base_at, base_cpu = current.started_at, 0.0
        if base_at and previous is None and (current.at - base_at).total_seconds() > 60:
            return None
    if base_at is None:
        return None
    seconds = (current.at - base_at).total_seconds()
    if seconds <= 0.05:
        return None
    return round(max(0.0, current.cpu_s - base_cpu) / seconds * 100, 2)


def rates(previous: Usage | None, current: Usage) -> Rates:
    """Return what flowed between two samples; a counter that went back, or another start, is no data."""
    if previous is None or previous.started_at != current.started_at:
        return Rates()
    seconds = (current.at - previous.at).total_seconds()

    def rate(before: int | None, after: int | None) -> float | None:
        if before is None or after is None or after < before or seconds <= 0.05:
            return None
        return round((after - before) / seconds, 1)

    return Rates(
        network_rx=rate(previous.network_rx_bytes, current.network_rx_bytes),
        network_tx=rate(previous.network_tx_bytes, current.network_tx_bytes),
        block_read=rate(previous.block_read_bytes, current.block_read_bytes),
        block_write=rate(previous.block_write_bytes, current.block_write_bytes),
    )
