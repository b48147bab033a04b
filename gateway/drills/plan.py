"""What each drill plays, what is measured, and what must hold. Pure: values in, values out.

The expectations are fixed numbers, not the installation's own settings: a gateway without backoff would
otherwise pass by its own measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.simulator.faults import Fault
from gateway.status import known

#: Most attempts a minute against a server that never works.
ATTEMPTS_PER_MINUTE: Final = 10
#: Least seconds between two attempts, and how many times the shortest wait the longest must be at least.
LEAST_WAIT_S: Final = 0.4
GROWTH: Final = 4.0
#: Most attempts in a row before the session parks.
ATTEMPT_LIMIT: Final = 200
#: Most log lines of a drill's fault, of its CPU a core's percentage, and of its memory bytes.
LINES: Final = 5
LINES_PER_HOUR: Final = 100
CPU_PERCENT: Final = 5.0
MEMORY: Final = 200 * 2**20
#: Seconds from a change of state until it is told.
TOLD_S: Final = 2.0
#: Seconds from a rejected token until the session is parked.
PARKED_S: Final = 20.0
#: A drill is cut short at so many attempts or CPU seconds: what it had to show is shown by then.
RUNAWAY_ATTEMPTS: Final = 150
RUNAWAY_CPU_S: Final = 10.0
#: Longest fault, and longest wait for its end to be noticed (s); a drill ends within their sum and START_S.
LONGEST_FAULT_S: Final = 120.0
LONGEST_RECOVERY_S: Final = 90.0
START_S: Final = 60.0
LONGEST_S: Final = LONGEST_FAULT_S + LONGEST_RECOVERY_S + START_S


class Drill(StrEnum):
    """The causes that can be replayed."""

    RETRY_STORM = "retry-storm"
    ACCEPT_THEN_CLOSE = "accept-then-close"
    MUTE = "mute"
    BAD_TOKEN = "bad-token"  # noqa: S105 - the name of a drill, not a credential


@dataclass(frozen=True, slots=True)
class Plan:
    """How a drill is played. ``healthy_first`` begins with a working session that carries rows."""

    drill: Drill
    fault: Fault
    seconds: float
    healthy_first: bool


PLANS: Final[Mapping[Drill, Plan]] = {
    Drill.RETRY_STORM: Plan(Drill.RETRY_STORM, Fault.REFUSE, 60.0, healthy_first=True),
    Drill.ACCEPT_THEN_CLOSE: Plan(Drill.ACCEPT_THEN_CLOSE, Fault.ACCEPT_THEN_CLOSE, 60.0, False),
    Drill.MUTE: Plan(Drill.MUTE, Fault.MUTE, LONGEST_FAULT_S, healthy_first=True),
    Drill.BAD_TOKEN: Plan(Drill.BAD_TOKEN, Fault.LOGIN_REJECT, 30.0, healthy_first=False),
}


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: seconds since the fault began, the wait before it, and how it ended."""

    after_s: float
    waited_s: float | None
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True)
class Forward:
    """The session fast-forwarded on its own clock: attempts and seconds until it parks, lines written."""

    attempts: int
    parked: bool
    seconds: float
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a drill saw between the beginning and the end of its fault. Times in seconds, sizes in bytes.

    ``told`` maps each state that clients would be told to the seconds from the fault until it was so, and
    ``told_s`` is the longest a change took to arrive through Redis. ``levels`` counts lines by level. A drill
    of the monitoring puts ``written`` lines into a log itself, ``top_share`` is their commonest template's.
    """

    drill: str
    phase: str = "starting"
    settings_of: str = ""
    retry: Mapping[str, float] = field(default_factory=dict)
    window_s: float = 0.0
    tries: tuple[Try, ...] = ()
    told: Mapping[str, float] = field(default_factory=dict)
    told_s: float | None = None
    stale_after_s: float = 0.0
    breaker: str = "closed"
    breaker_opened_s: float | None = None
    lines: int = 0
    levels: Mapping[str, int] = field(default_factory=dict)
    sample: tuple[str, ...] = ()
    cpu_s: float = 0.0
    memory: int = 0
    runaway: bool = False
    resumed: bool = False
    recovered_s: float | None = None
    forward: Forward | None = None
    written: int = 0
    top_share: float | None = None

    @property
    def attempts(self) -> int:
        """How many attempts began."""
        return len(self.tries)

    @property
    def cpu_percent(self) -> float:
        """CPU in percent of one core."""
        return 100.0 * self.cpu_s / self.window_s if self.window_s else 0.0

    @property
    def waits(self) -> tuple[float, ...]:
        """The waits before all attempts but the first."""
        return tuple(one.waited_s for one in self.tries if one.waited_s is not None)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON column."""
        return asdict(self) | {"tries": [asdict(one) for one in self.tries], "sample": list(self.sample)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """Read :meth:`as_json`'s output; fields of another version are ignored.

        Raises:
            TypeError: a part of it has another shape.
        """
        values = known(cls, dict(data))
        values["tries"] = tuple(Try(**one) for one in values.get("tries", ()))
        values["sample"] = tuple(values.get("sample", ()))
        if values.get("forward"):
            values["forward"] = Forward(**values["forward"])
        return cls(**values)


class Rule(StrEnum):
    """What is judged."""

    MET = "met"
    ATTEMPTS = "attempts"
    WAITS = "waits"
    LIMIT = "limit"
    HOURLY = "hourly"
    BREAKER = "breaker"
    PARKED = "parked"
    STALE = "stale"
    LINES = "lines"
    LEVEL = "level"
    CPU = "cpu"
    MEMORY = "memory"
    TOLD = "told"
    RECOVERED = "recovered"
    OPENED = "opened"
    COUNTED = "counted"
    TEMPLATE = "template"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation: the rule, whether it was met, the value seen and the bound. None: nothing was seen."""

    rule: str
    met: bool
    seen: float | None
    bound: float | None = None


def judge(measured: Measured) -> tuple[Check, ...]:
    """Return every expectation of the drill with what was seen; the drill passed when all were met."""
    return tuple(_checks(Drill(measured.drill), measured))


def _checks(drill: Drill, seen: Measured) -> Iterator[Check]:
    if drill in (Drill.RETRY_STORM, Drill.ACCEPT_THEN_CLOSE):
        yield from _retrying(seen)
    elif drill is Drill.BAD_TOKEN:
        yield Check(Rule.MET, seen.attempts >= 1, seen.attempts, 1)
        yield Check(Rule.ATTEMPTS, seen.attempts <= 3, seen.attempts, 3)
        yield _within(Rule.PARKED, seen.told.get("parked"), PARKED_S)
    else:
        yield Check(Rule.ATTEMPTS, seen.attempts <= 2, seen.attempts, 2)
        yield _within(Rule.STALE, seen.told.get("stale"), seen.stale_after_s + 5.0)
    if drill is Drill.RETRY_STORM:
        yield from _forward(seen.forward)
    yield Check(Rule.LINES, seen.lines <= LINES, seen.lines, LINES)
    low = sum(count for level, count in seen.levels.items() if level in ("DEBUG", "INFO"))
    yield Check(Rule.LEVEL, low == 0, low, 0)
    yield Check(Rule.CPU, seen.cpu_percent <= CPU_PERCENT, round(seen.cpu_percent, 2), CPU_PERCENT)
    yield Check(Rule.MEMORY, seen.memory <= MEMORY, seen.memory, MEMORY)
    yield _within(Rule.TOLD, seen.told_s, TOLD_S)
    yield Check(Rule.RECOVERED, seen.recovered_s is not None, seen.recovered_s)


def _retrying(seen: Measured) -> Iterator[Check]:
    most = round(ATTEMPTS_PER_MINUTE * max(1.0, seen.window_s / 60.0))
    # One attempt shows no retry at all: the fault was not met.
    yield Check(Rule.MET, seen.attempts >= 2, seen.attempts, 2)
    yield Check(Rule.ATTEMPTS, seen.attempts <= most, seen.attempts, most)
    waits = seen.waits
    grows = bool(waits) and min(waits) >= LEAST_WAIT_S and max(waits) >= GROWTH * min(waits)
    yield Check(Rule.WAITS, grows, round(min(waits), 3) if waits else None, LEAST_WAIT_S)
    yield Check(Rule.BREAKER, seen.breaker_opened_s is not None, seen.breaker_opened_s)


def _forward(forward: Forward | None) -> Iterator[Check]:
    good = forward is not None and forward.parked and forward.attempts <= ATTEMPT_LIMIT
    yield Check(Rule.LIMIT, good, forward.attempts if forward else None, ATTEMPT_LIMIT)
    hours = max(1.0, forward.seconds / 3600.0) if forward else 1.0
    hourly = round(forward.lines / hours) if forward else None
    yield Check(Rule.HOURLY, hourly is not None and hourly <= LINES_PER_HOUR, hourly, LINES_PER_HOUR)


def _within(rule: Rule, seen: float | None, bound: float) -> Check:
    return Check(rule, seen is not None and seen <= bound, seen, bound)
