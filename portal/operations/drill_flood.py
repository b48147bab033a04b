"""The log flood drill: a bounded burst of lines in a file of its own, read by the collector's own code.

The rules are the installation's; they are folded on the side, so that neither alert nor message comes of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil
from django.utils.translation import gettext as _

from gateway.drills.plan import CPU_PERCENT, Check, Measured, Rule
from gateway.drills.stage import DrillAborted, DrillBroken
from portal.monitoring import engine, rules
from portal.monitoring.collector import Reading, sweep
from portal.monitoring.models import Rule as AlertRule
from portal.monitoring.models import RuleKind, RunState, RuntimeKind
from portal.monitoring.pace import BASE_S
from portal.monitoring.runtimes.base import (
    MAX_LOG_BYTES,
    MAX_LOG_LINES,
    EventWindow,
    Found,
    HealthReading,
    Inspection,
    LogWindow,
    RuntimeRefused,
    Usage,
)
from portal.monitoring.runtimes.logfile import read_log

NAME = "bonghwa-drill"
#: Lines a second and in all, seconds of flood and of waiting for its end, and where an alert must have come.
RATE, LINES_MAX = 1_000, 60_000
FLOOD_S, CLOSE_S, OPEN_WITHIN_S = 60.0, 90.0, 60.0
#: Times the threshold of the rule that the flood reaches; a rule above RATE is not met by it.
ABOVE = 4.0
SHARE = 90.0
TICK_S = 0.5
LINE = "{at} INFO WebSocket connection timeout, reconnecting to wss://api.example.com attempt {number}\n"

#: Gets the figures so far; a false answer aborts the drill.
Progress = Callable[[Measured], bool]


@dataclass(slots=True)
class Spring:
    """Writes the flood in a thread of its own until :meth:`stop`, or until LINES_MAX are written."""

    path: Path
    rate: float
    written: int = 0
    cpu_s: float = 0.0
    _over: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = Thread(target=self._write, name="drill-flood", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End and wait for it."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self) -> None:
        started = time.monotonic()
        with self.path.open("a") as file:
            while not self._over.wait(0.1) and self.written < LINES_MAX:
                due = min(LINES_MAX, int((time.monotonic() - started) * self.rate))
                at = datetime.now(UTC).isoformat()
                file.writelines(LINE.format(at=at, number=number) for number in range(self.written, due))
                file.flush()
                self.written = due
                self.cpu_s = time.thread_time()


class FloodRuntime:
    """A runtime with one service, whose log is the flooded file."""

    kind = RuntimeKind.PROCESS

    def __init__(self, path: Path) -> None:
        self._path = path

    def list(self) -> list[Found]:
        """Return the one service."""
        return [Found(runtime_id=NAME, name=NAME, state=RunState.RUNNING)]

    def sample(self, runtime_id: str) -> Usage:
        """Return nothing used: the service is a file."""
        return Usage(at=datetime.now(UTC), cpu_s=0.0, memory_bytes=0)

    def health(self, runtime_id: str) -> HealthReading:
        """Return no health check."""
        return HealthReading()

    def inspect(self, runtime_id: str) -> Inspection:
        """Return a running service."""
        return Inspection(state=RunState.RUNNING)

    def logs(self, runtime_id: str, *, cursor: str, limit: int = MAX_LOG_LINES) -> LogWindow:
        """Read the file as the process runtime does."""
        now = datetime.now(UTC).timestamp()
        return read_log(self._path, cursor, limit=limit, max_bytes=MAX_LOG_BYTES, now=now)

    def events(self, since: datetime, until: datetime) -> EventWindow:
        """Return none."""
        return EventWindow(events=(), until=until)

    def is_guarded(self) -> bool | None:
        """Nothing else could be asked of it."""
        return True

    def restart(self, runtime_id: str) -> None:
        """Refuse: nothing acts on a file."""
        raise RuntimeRefused(NAME)

    stop = start = restart

    def close(self) -> None:
        """Nothing is kept open."""


def flood(folder: Path, progress: Progress) -> Measured:
    """Flood a file in ``folder`` until a rule of the installation would alert, and wait until it would close.

    Raises:
        DrillBroken: no rule looks at log rates of every service.
        DrillAborted: ``progress`` asked for an end.
        OSError: the file cannot be written.
    """
    limits = _limits()
    rate = min(RATE, max(50.0, ABOVE * min(one.open_above for one in limits)))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="flood-") as own:
        path = Path(own) / "service.log"
        path.touch()
        watch = _Watch(path, limits, progress)
        watch.look()  # the first look has no span yet
        spring = Spring(path, rate)
        spring.start()
        try:
            watch.until("fault", spring, lambda: watch.firing, FLOOD_S)
        finally:
            spring.stop()
        ended = time.monotonic()
        opened = watch.firing
        watch.until("recovering", spring, lambda: not watch.firing, CLOSE_S)
        closed = round(time.monotonic() - ended, 1) if opened and not watch.firing else None
        return replace(watch.measured, recovered_s=closed, phase="done")


def judge(measured: Measured) -> tuple[Check, ...]:
    """Return every expectation of the drill with what was seen."""
    opened, closed = measured.told.get("opened"), measured.recovered_s
    least = round(0.8 * measured.written)
    share = None if measured.top_share is None else round(100 * measured.top_share, 1)
    return (
        Check(Rule.OPENED, opened is not None and opened <= OPEN_WITHIN_S, opened, OPEN_WITHIN_S),
        Check(Rule.COUNTED, measured.runaway or measured.lines >= least > 0, measured.lines, least),
        Check(Rule.TEMPLATE, share is not None and share >= SHARE, share, SHARE),
        Check(Rule.CPU, measured.cpu_percent <= CPU_PERCENT, round(measured.cpu_percent, 2), CPU_PERCENT),
        Check(Rule.CLOSED, closed is not None and closed <= CLOSE_S, closed, CLOSE_S),
    )


def _limits() -> list[rules.Thresholds]:
    """Return the thresholds of the enabled rules that would look at any service's log rate."""
    found = AlertRule.objects.filter(kind=RuleKind.LOG_FLOOD, enabled=True, service_pattern="*")[:20]
    if not found:
        raise DrillBroken(
            _("No enabled rule looks at the log rate of every service; a flood raises no alert.")
        )
    return [engine.thresholds(rule) for rule in found]


class _Watch:
    """Sweeps the file at beat's pace and folds what it reads into the rules."""

    def __init__(self, path: Path, limits: list[rules.Thresholds], progress: Progress) -> None:
        self._runtime = FloodRuntime(path)
        self._memory: dict[str, Any] = {}
        self._limits = limits
        self._folds = [rules.CLEAN for _ in limits]
        self._progress = progress
        self._process = psutil.Process()
        self._cpu_s = 0.0
        self._began = self._looked = time.monotonic()
        self.measured = Measured(drill="log-flood")

    @property
    def firing(self) -> bool:
        """Whether one of the rules would have an alert open."""
        return any(fold.firing for fold in self._folds)

    def look(self) -> None:
        """Sweep once."""
        before = time.process_time()
        found = sweep(self._runtime, self._memory)
        self._looked = time.monotonic()
        for reading in found.readings:
            self._take(reading)
        self._cpu_s += time.process_time() - before

    def until(self, phase: str, spring: Spring, condition: Callable[[], bool], longest: float) -> None:
        """Sweep each :data:`BASE_S` until ``condition`` holds or ``longest`` seconds are over."""
        until = time.monotonic() + longest
        if phase == "fault":
            self._began = self._looked = time.monotonic()
            self._cpu_s = 0.0
        while not condition() and time.monotonic() < until:
            if not self._progress(replace(self.measured, phase=phase)):
                raise DrillAborted
            time.sleep(TICK_S)
            if time.monotonic() - self._looked >= BASE_S:
                # The writer shares the process; while a sweep runs its own seconds are not the collector's.
                writing = spring.cpu_s
                self.look()
                self._cpu_s = max(0.0, self._cpu_s - (spring.cpu_s - writing))
                self._note(spring)

    def _take(self, reading: Reading) -> None:
        rate, logs = reading.log_rate, reading.logs
        if rate is None or logs is None:
            return
        self._folds = [
            rules.fold(fold, rate, limits, at=reading.at)[0]
            for fold, limits in zip(self._folds, self._limits, strict=True)
        ]
        top = next(iter(logs.templates), None)
        share = self.measured.top_share
        self.measured = replace(
            self.measured,
            lines=self.measured.lines + logs.lines,
            top_share=share if top is None else top.count / max(1, logs.lines),
            sample=self.measured.sample if top is None else (top.template,),
            runaway=self.measured.runaway or reading.log_rate_is_lower_bound,
        )

    def _note(self, spring: Spring) -> None:
        since = round(time.monotonic() - self._began, 1)
        told = dict(self.measured.told)
        if self.firing:
            told.setdefault("opened", since)
        self.measured = replace(
            self.measured,
            window_s=since,
            told=told,
            written=spring.written,
            cpu_s=round(self._cpu_s, 3),
            memory=self._process.memory_info().rss,
        )
