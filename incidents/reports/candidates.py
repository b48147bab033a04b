"""Ranks possible root causes by stated rules; the same facts give the same order. Knows no database.

Points of each rule are in :data:`POINTS`. A rule adds its points only when its evidence is there, so that a
source nobody captured can never raise a candidate. Equal scores are taken in the order of :class:`Kind`.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from incidents.reports.facts import CPU_HIGH, FLOOD, Facts, number
from incidents.reports.localiser import Hop, findings
from incidents.reports.words import Words, cut

#: Pairs of CPU and log rate from which they can be called correlated, and the least coefficient.
PAIRS_MIN, CORRELATED = 5, 0.6
#: Health checks that must have failed in a row to support another cause.
STREAK_MIN = 3

#: Points of each rule; of ``template`` and ``correlation`` they are multiplied by the share or coefficient.
POINTS: Mapping[str, float] = {
    "template": 50,
    "flood": 20,
    "busy_log": 10,
    "cpu_beside": 15,
    "correlation": 10,
    "before_health": 5,
    "streak_beside": 10,
    "exit": 60,
    "memory_high": 40,
    "log_memory": 20,
    "killed": 20,
    "slot_lost": 45,
    "many_attempts": 10,
    "proxy_blamed": 25,
    "healthy_behind": 20,
    "cpu_high": 35,
    "streak": 20,
    "service_blamed": 10,
    "probes": 15,
}
_MEMORY = re.compile(r"out of memory|oom|memoryerror|heap|cannot allocate|메모리 부족", re.IGNORECASE)


class Kind(StrEnum):
    """What a root cause is about, in the order in which equal scores are taken."""

    RETRY = "retry"
    CRASH = "crash"
    MEMORY = "memory"
    GATEWAY = "gateway"
    PROXY = "proxy"
    CPU = "cpu"
    HEALTH = "health"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that held: its name in :data:`POINTS`, what it gave, its values and its evidence."""

    rule: str
    points: float
    evidence: int | None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible root cause: the sum of its reasons' points, the strongest reason first."""

    kind: Kind
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> float:
        """The sum of the points."""
        return sum(reason.points for reason in self.reasons)

    @property
    def evidence(self) -> int | None:
        """The primary key of the evidence behind the strongest reason that has any."""
        return next((reason.evidence for reason in self.reasons if reason.evidence is not None), None)


def rank(facts: Facts) -> list[Candidate]:
    """Return the possible root causes, the likeliest first; empty when no rule holds."""
    finders: Mapping[Kind, Callable[[Facts], Iterable[Reason]]] = {
        Kind.RETRY: _retry,
        Kind.CRASH: _crash,
        Kind.MEMORY: _memory,
        Kind.GATEWAY: _gateway,
        Kind.PROXY: _proxy,
        Kind.CPU: _cpu,
        Kind.HEALTH: _health,
        Kind.PROBE: _probe,
    }
    found = [Candidate(kind, _sorted(finder(facts))) for kind, finder in finders.items()]
    order = list(Kind)
    return sorted((one for one in found if one.reasons), key=lambda one: (-one.score, order.index(one.kind)))


def likeliest(facts: Facts) -> Candidate | None:
    """Return the first of :func:`rank`."""
    return next(iter(rank(facts)), None)


def correlation(facts: Facts) -> float | None:
    """Return Pearson's coefficient of CPU and log rate over the frozen history; None: too little to say."""
    pairs = [
        (cpu, rate)
        for row in facts.series
        if (cpu := number(row.get("cpu_percent"))) is not None
        and (rate := number(row.get("log_lines_per_s"))) is not None
    ]
    if len(pairs) < PAIRS_MIN:
        return None
    try:
        return statistics.correlation(*zip(*pairs, strict=True))
    except statistics.StatisticsError:
        return None


def precedes_health(facts: Facts, column: str, threshold: float) -> bool:
    """Whether ``column`` reached ``threshold`` in the history before the health check first failed."""
    high = _first(facts, column, threshold)
    failed = _first(facts, "failing_streak", 1)
    return high is not None and failed is not None and high < failed


def describe(reason: Reason, words: Words) -> str:
    """Return one reason as a sentence with its numbers."""
    korean, english = _TEXTS[reason.rule]
    return words(korean, english, **reason.values)


def _first(facts: Facts, column: str, threshold: float) -> int | None:
    values = (number(row.get(column)) for row in facts.series)
    return next(
        (at for at, value in enumerate(values) if value is not None and value >= threshold),
        None,
    )


def _sorted(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    return tuple(sorted(reasons, key=lambda reason: -reason.points))


def _reason(rule: str, evidence: int | None, weight: float = 1.0, **values: Any) -> Reason:
    return Reason(rule, round(POINTS[rule] * weight, 1), evidence, values)


def _retry(facts: Facts) -> Iterable[Reason]:
    template = facts.retry
    if template is None:
        return
    logs, metrics = facts.evidence("logs"), facts.evidence("metrics")
    yield _reason("template", logs, template.share, share=template.share * 100, text=cut(template.text, 80))
    rate = facts.rate or 0.0
    if rate >= FLOOD / 10:
        yield _reason("flood" if rate >= FLOOD else "busy_log", metrics, rate=rate)
    if facts.cpu_high:
        yield _reason("cpu_beside", metrics, cpu=facts.number("cpu_percent"))
    together = correlation(facts)
    if together is not None and together >= CORRELATED:
        yield _reason("correlation", metrics, together, r=together)
    if precedes_health(facts, "log_lines_per_s", FLOOD / 10):
        yield _reason("before_health", metrics)
    if (facts.streak or 0) >= STREAK_MIN:
        yield _reason("streak_beside", _health_evidence(facts), streak=facts.streak)


def _crash(facts: Facts) -> Iterable[Reason]:
    if facts.crashed:
        code = facts.metrics.get("exit_code")
        yield _reason("exit", facts.evidence("metrics"), restarts=facts.restarts, code=code)
        if Hop.SERVICE in _blamed(facts):
            yield _reason("service_blamed", _probes(facts))


def _memory(facts: Facts) -> Iterable[Reason]:
    metrics = facts.evidence("metrics")
    if facts.memory_high:
        yield _reason("memory_high", metrics)
    if any(_MEMORY.search(row.text) for row in facts.templates[:5]):
        yield _reason("log_memory", facts.evidence("logs"))
    if facts.number("exit_code") == 137:
        yield _reason("killed", metrics)


def _gateway(facts: Facts) -> Iterable[Reason]:
    slot = facts.lost_slot
    if slot is None:
        return
    source = next((one for one in facts.sources if one.kind == "gateway"), None)
    evidence = source.evidence if source else None
    yield _reason("slot_lost", evidence, feed=cut(str(slot.get("feed") or "?"), 40))
    attempts = number(slot.get("attempts_count")) or 0
    if attempts >= 5:
        yield _reason("many_attempts", evidence, n=attempts)


def _proxy(facts: Facts) -> Iterable[Reason]:
    if Hop.PROXY not in _blamed(facts):
        return
    yield _reason("proxy_blamed", _probes(facts))
    if facts.status == "healthy" and not facts.streak:
        yield _reason("healthy_behind", _health_evidence(facts))


def _cpu(facts: Facts) -> Iterable[Reason]:
    if not facts.cpu_high:
        return
    yield _reason("cpu_high", facts.evidence("metrics"), cpu=facts.number("cpu_percent"))
    if precedes_health(facts, "cpu_percent", CPU_HIGH * (facts.number("cpu_limit_cores") or 1.0)):
        yield _reason("before_health", facts.evidence("metrics"))


def _health(facts: Facts) -> Iterable[Reason]:
    if (facts.streak or 0) < 1 and facts.status != "unhealthy":
        return
    yield _reason("streak", _health_evidence(facts), streak=facts.streak or 1)
    if Hop.SERVICE in _blamed(facts):
        yield _reason("service_blamed", _probes(facts))


def _probe(facts: Facts) -> Iterable[Reason]:
    if failed := facts.failed_probes:
        yield _reason("probes", _probes(facts), n=len(failed))


def _blamed(facts: Facts) -> frozenset[Hop]:
    return frozenset(hop for one in findings(facts.own_endpoints) for hop in one.blamed)


def _probes(facts: Facts) -> int | None:
    return next((one.evidence for one in facts.sources if one.kind == "probes"), None)


def _health_evidence(facts: Facts) -> int | None:
    return facts.evidence("health") or facts.evidence("metrics")


_TEXTS: Mapping[str, tuple[str, str]] = {
    "template": (
        "재시도 메시지가 로그의 {share:.1f}%: {text}",
        "one retry message is {share:.1f}% of the log: {text}",
    ),
    "flood": ("로그 폭주 (초당 {rate:,.0f}줄)", "log flood ({rate:,.0f} lines/s)"),
    "busy_log": ("로그가 많음 (초당 {rate:,.0f}줄)", "busy log ({rate:,.0f} lines/s)"),
    "cpu_beside": ("동시에 CPU 포화 ({cpu:.2f}%)", "CPU saturated at the same time ({cpu:.2f}%)"),
    "correlation": (
        "CPU와 로그 발생량이 함께 움직임 (상관계수 {r:.2f})",
        "CPU and log rate move together (r = {r:.2f})",
    ),
    "before_health": ("헬스체크 실패보다 먼저 시작됨", "it began before the health check failed"),
    "streak_beside": ("헬스체크 {streak}회 연속 실패", "{streak} failed health checks in a row"),
    "exit": (
        "비정상 종료 또는 반복 재시작 (종료 코드 {code}, 재시작 {restarts}회)",
        "ended by error or keeps restarting (exit code {code}, {restarts} restarts)",
    ),
    "memory_high": (
        "메모리가 한도에 가깝거나 2 GB 이상",
        "memory near its limit, or 2 GB and more without one",
    ),
    "log_memory": ("로그에 메모리 부족 메시지", "the log speaks of memory"),
    "killed": ("종료 코드 137 (강제 종료)", "exit code 137 (killed)"),
    "slot_lost": ("게이트웨이 세션이 정상이 아님 ({feed})", "the gateway's session is not live ({feed})"),
    "many_attempts": ("재연결 시도 {n:,.0f}회", "{n:,.0f} attempts to reconnect"),
    "proxy_blamed": ("접속 확인 결과가 프록시 구간을 가리킴", "the vantages point at the proxy"),
    "healthy_behind": ("프록시 뒤의 서비스는 헬스체크 정상", "the service behind it passes its health check"),
    "cpu_high": ("CPU 포화 ({cpu:.2f}%)", "CPU saturated ({cpu:.2f}%)"),
    "streak": ("헬스체크 {streak}회 연속 실패", "{streak} failed health checks in a row"),
    "service_blamed": ("어느 지점에서도 응답하지 않음", "no vantage answers"),
    "probes": ("접속 확인 {n}건 실패", "failed probes: {n}"),
}
