"""One sweep over a runtime: readings out, nothing written. Bounded in time whatever the runtime does."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from portal.monitoring.logs import LogSummary, summarise
from portal.monitoring.meter import Meter
from portal.monitoring.models import RunState, RuntimeKind
from portal.monitoring.runtimes.base import (
    EventWindow,
    Found,
    Inspection,
    LogWindow,
    Rates,
    Runtime,
    RuntimeProblem,
    RuntimeUnavailable,
    ServiceMissing,
    Usage,
    cpu_percent,
    rates,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Calls at once that make the runtime work (inspect, logs), and ones that only wait for its next sample.
PARALLEL = 8
PARALLEL_SAMPLES = 64
#: Seconds for a whole sweep; what has not answered by then is skipped.
SWEEP_LIMIT_S = 20.0
#: Seconds over which restarts are counted, and entries kept of them.
RESTART_WINDOW_S = 600.0
MAX_RESTARTS = 50
#: Services without a reading, more than half of all, from which their runtime is to blame.
MOSTLY = 3

_LIVE = (RunState.RUNNING, RunState.PAUSED, RunState.RESTARTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One service at one moment; ``None`` is no data. ``error`` says why there is none though it runs."""

    found: Found
    at: datetime
    inspection: Inspection | None = None
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    usage: Usage | None = None
    rates: Rates | None = None
    log_rate: float | None = None
    log_rate_is_lower_bound: bool = False
    logs: LogSummary | None = None
    recent_restarts: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All readings of one runtime. ``error``: the runtime does not answer, so nothing is known.

    ``calls`` were made of the runtime; nineteen of twenty took ``p95_ms`` at most. ``skipped`` services gave
    no reading in time. ``events`` is ``None`` when they were not asked for or not told.
    """

    runtime: RuntimeKind
    at: datetime
    readings: tuple[Reading, ...] = ()
    events: EventWindow | None = None
    error: str = ""
    ms: float = 0.0
    skipped: int = 0
    calls: int = 0
    p95_ms: float = 0.0

    @property
    def silent(self) -> int:
        """How many services gave no reading."""
        return sum(1 for reading in self.readings if reading.error)

    @property
    def is_mostly_silent(self) -> bool:
        """Whether so many services gave none that the runtime is to blame, and none of them."""
        return self.silent >= MOSTLY and 2 * self.silent > len(self.readings)


def sweep(
    runtime: Runtime, memory: MutableMapping[str, Any], *, events_since: datetime | None = None
) -> Sweep:
    """Read every service of ``runtime`` once; ``memory`` carries counters and cursors to the next sweep.

    ``events_since`` asks for the events from then until the sweep's beginning.
    """
    started = time.monotonic()
    at = datetime.now(UTC)
    meter = Meter()
    try:
        listed = meter.timed(runtime.list)
    except RuntimeProblem as error:  # a refusal tells as little about the services as silence
        calls, p95 = meter.read()
        return Sweep(runtime=runtime.kind, at=at, error=str(error), ms=_ms(started), calls=calls, p95_ms=p95)
    _forget(memory, {found.runtime_id for found in listed})
    window = None if events_since is None else (events_since, at)
    answers, told = _ask(runtime, listed, memory, started + SWEEP_LIMIT_S, meter, window)
    events, no_events = _told(told)
    if no_events:
        logger.info("%s: events not read: %s", runtime.kind.label, no_events)
    readings = [_reading(found, answers.get(found.runtime_id, _Answers()), memory) for found in listed]
    calls, p95 = meter.read()
    kept = tuple(reading for reading in readings if reading is not None)
    dead = [reading.error for reading in kept if reading.error]
    if (
        kept
        and len(dead) == len(kept)
        and any(isinstance(a.first_error, RuntimeUnavailable) for a in answers.values())
    ):
        return Sweep(
            runtime=runtime.kind,
            at=at,
            error=dead[0],
            ms=_ms(started),
            skipped=len(dead),
            calls=calls,
            p95_ms=p95,
        )
    return Sweep(
        runtime=runtime.kind,
        at=at,
        readings=kept,
        events=events,
        ms=_ms(started),
        skipped=len(dead),
        calls=calls,
        p95_ms=p95,
    )


@dataclass(slots=True)
class _Answers:
    """Futures of one service's calls."""

    usage: Future[Usage] | None = None
    inspection: Future[Inspection] | None = None
    logs: Future[LogWindow] | None = None

    @property
    def first_error(self) -> BaseException | None:
        """The error of the call that every reading needs."""
        if self.inspection is None or not self.inspection.done() or self.inspection.cancelled():
            return None
        return self.inspection.exception()


def _ask(
    runtime: Runtime,
    listed: list[Found],
    memory: MutableMapping[str, Any],
    deadline: float,
    meter: Meter,
    window: tuple[datetime, datetime] | None,
) -> tuple[dict[str, _Answers], Future[EventWindow] | None]:
    """Start every call, wait until ``deadline`` (monotonic s) and leave what is late behind."""
    workers = ThreadPoolExecutor(PARALLEL, thread_name_prefix="collect")
    samplers = ThreadPoolExecutor(PARALLEL_SAMPLES, thread_name_prefix="sample")
    answers: dict[str, _Answers] = {}
    told: Future[EventWindow] | None = None
    try:
        if window is not None:
            told = workers.submit(meter.timed, runtime.events, *window)
        for found in listed:
            entry = answers[found.runtime_id] = _Answers()
            if found.state in (RunState.RUNNING, RunState.PAUSED):
                entry.usage = samplers.submit(meter.timed, runtime.sample, found.runtime_id)
            entry.inspection = workers.submit(meter.timed, runtime.inspect, found.runtime_id)
            cursor = str(memory.get(f"log:{found.runtime_id}", ""))
            if found.state in _LIVE or _just_ended(found, memory):
                entry.logs = workers.submit(meter.timed, runtime.logs, found.runtime_id, cursor=cursor)
        futures: list[Future[Any]] = [
            future
            for entry in answers.values()
            for future in (entry.usage, entry.inspection, entry.logs)
            if future is not None
        ]
        if told is not None:
            futures.append(told)
        wait(futures, timeout=max(0.0, deadline - time.monotonic()))
    finally:
        for pool in (workers, samplers):
            pool.shutdown(wait=False, cancel_futures=True)
    return answers, told


def _just_ended(found: Found, memory: MutableMapping[str, Any]) -> bool:
    """Whether the service ran at the last sweep or is new; its last lines are read once more then."""
    return bool(memory.get(f"live:{found.runtime_id}", True))


def _result(future: Future[T] | None) -> tuple[T | None, str]:
    """Return a call's result or why there is none. A bug of a runtime is logged, never taken for data."""
    if future is None:
        return None, ""
    if not future.done() or future.cancelled():
        return None, "no answer in time"
    try:
        return future.result(), ""
    except ServiceMissing:
        raise
    except RuntimeProblem as error:
        return None, str(error)
    except Exception as error:  # a bug of a collector shows as unknown and does not stop the sweep
        logger.exception("collector is broken")
        return None, f"collector error: {type(error).__name__}"


def _told(future: Future[EventWindow] | None) -> tuple[EventWindow | None, str]:
    """Return the events or why there are none; they are read again by the next sweep."""
    try:
        return _result(future)
    except ServiceMissing as error:
        return None, str(error)


def _reading(found: Found, answers: _Answers, memory: MutableMapping[str, Any]) -> Reading | None:
    """Put the answers of one service together; ``None`` when it went away during the sweep."""
    at = datetime.now(UTC)
    try:
        inspected, sampled, read = (
            _result(answers.inspection),
            _result(answers.usage),
            _result(answers.logs),
        )
    except ServiceMissing:
        return None
    inspection, problem = inspected
    usage, no_usage = sampled
    window, _no_logs = read
    if inspection is None:
        return Reading(found=found, at=at, error=problem or "no answer in time")
    running = inspection.state in (RunState.RUNNING, RunState.PAUSED)
    memory[f"live:{found.runtime_id}"] = inspection.state in _LIVE
    reading = Reading(
        found=found,
        at=at,
        inspection=inspection,
        recent_restarts=_recent_restarts(found.runtime_id, inspection.restart_count, at, memory),
        error=no_usage if running and usage is None else "",
    )
    if running and usage is not None:
        usage = replace(usage, started_at=usage.started_at or inspection.started_at)
        before = _usage_of(memory.get(f"usage:{found.runtime_id}"))
        memory[f"usage:{found.runtime_id}"] = _kept(usage)
        reading = replace(
            reading,
            cpu_percent=cpu_percent(before, usage),
            memory_bytes=usage.memory_bytes,
            usage=usage,
            rates=rates(before, usage),
        )
    return _with_logs(reading, window, memory)


def _with_logs(reading: Reading, window: LogWindow | None, memory: MutableMapping[str, Any]) -> Reading:
    if window is None:
        return reading
    memory[f"log:{reading.found.runtime_id}"] = window.cursor
    rate = round(len(window.lines) / window.span_s, 2) if window.span_s else None
    return replace(
        reading, log_rate=rate, log_rate_is_lower_bound=window.capped, logs=summarise(window.lines)
    )


def _recent_restarts(runtime_id: str, count: int, at: datetime, memory: MutableMapping[str, Any]) -> int:
    """Return restarts of the last ``RESTART_WINDOW_S``, from the growth of the runtime's own counter."""
    name = f"restarts:{runtime_id}"
    last, history = memory.get(name) or (count, [])
    now = at.timestamp()
    if count > last:
        history = [*history, (now, count - last)]
    history = [(when, grown) for when, grown in history if now - when < RESTART_WINDOW_S][-MAX_RESTARTS:]
    memory[name] = (count, history)
    return sum(grown for _when, grown in history)


def _forget(memory: MutableMapping[str, Any], listed: set[str]) -> None:
    """Drop what is remembered of services that are gone."""
    for name in [name for name in memory if name.partition(":")[2] not in listed]:
        del memory[name]


_COUNTERS = ("network_rx_bytes", "network_tx_bytes", "block_read_bytes", "block_write_bytes")


def _kept(usage: Usage) -> list[Any]:
    started = usage.started_at.isoformat() if usage.started_at else ""
    return [usage.at.isoformat(), usage.cpu_s, started, *(getattr(usage, name) for name in _COUNTERS)]


def _usage_of(kept: Any) -> Usage | None:
    """Read :func:`_kept`'s output; what another version wrote counts as nothing."""
    try:
        at, cpu_s, started, *counters = kept
        return Usage(
            at=datetime.fromisoformat(at),
            cpu_s=float(cpu_s),
            memory_bytes=0,
            started_at=datetime.fromisoformat(started) if started else None,
            **dict(zip(_COUNTERS, counters, strict=True)),
        )
    except (TypeError, ValueError):
        return None


def _ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)
