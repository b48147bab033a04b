"""The draft's words for a root cause, and its rows of direct and secondary causes."""

from __future__ import annotations

from incidents.reports.candidates import Candidate, Kind, likeliest
from incidents.reports.facts import MEMORY_HIGH, Facts, number
from incidents.reports.model import INFERRED, Cause
from incidents.reports.words import Words, code, cut


def rows(facts: Facts, words: Words) -> tuple[Cause, ...]:
    """Return the causes that the evidence shows."""
    logs, metrics = facts.evidence("logs"), facts.evidence("metrics")
    found: list[tuple[str, str, str, int | None]] = []
    first = likeliest(facts)
    if facts.retry:
        target = f": {code(facts.target)}" if facts.target else ""
        what = subject_name(facts, words)
        found.append(("direct", "failing", words("{w} 실패{t}", "{w} fails{t}", w=what, t=target), logs))
        text = words(
            "멈추지 않는 재시도 로직 (지수 백오프 없음)", "Retries without end (no exponential backoff)"
        )
        found.append(("direct", "retry", text, logs))
    elif first:
        phrase = _cause_phrase(facts, first.kind, words)
        found.append(("direct", first.kind.value, phrase, first.evidence))
    if (facts.rate or 0) >= 10 and facts.lines:
        text = words(
            "로그 폭주 ({n:,}줄, {r})",
            "Log flood ({n:,} lines, {r})",
            n=facts.lines,
            r=words.rate(facts.rate, at_least=facts.rate_is_lower_bound),
        )
        found.append(("direct", "flood", text, logs or metrics))
    if facts.cpu_high:
        cpu = words.percent(facts.number("cpu_percent"))
        if limit := facts.number("cpu_limit_cores"):
            cpu = words("{v}, 한도 {c:g}코어", "{v} of one core, limit {c:g} cores", v=cpu, c=limit)
        text = words("CPU 고갈({v})로 다른 요청 처리 지연", "CPU exhausted ({v}), other requests wait", v=cpu)
        found.append(("secondary", "cpu", text, metrics))
    memory = facts.number("memory_bytes")
    if memory is not None and facts.memory_limit_known and not facts.number("memory_limit_bytes"):
        text = words("메모리 제한 없음 (현재 {v})", "No memory limit (now {v})", v=words.size(memory))
        if memory >= MEMORY_HIGH:
            text = words(
                "메모리 과다 사용 ({v}, 제한 없음)", "Excessive memory ({v}, no limit)", v=words.size(memory)
            )
        found.append(("secondary", "memory", text, metrics))
    elif facts.memory_high:
        text = words("메모리 과다 사용 ({v})", "Excessive memory ({v})", v=words.size(memory))
        found.append(("secondary", "memory", text, metrics))
    if facts.streak:
        text = words("Healthcheck {n}회 연속 실패", "{n} failed health checks in a row", n=facts.streak)
        found.append(("secondary", "health", text, facts.evidence("health") or metrics))
    return tuple(
        Cause(kind=kind, text=text, provenance=INFERRED, evidence=evidence, key=f"cause:{kind}:{name}")
        for kind, name, text, evidence in found
    )


def root_cause(facts: Facts, words: Words, candidate: Candidate | None = None) -> str:
    """Return the root cause in one line: cause → use of resources → effect; empty without evidence.

    Without a ``candidate`` it is the likeliest one's.
    """
    chosen = candidate or likeliest(facts)
    if chosen is None:
        return ""
    kind = chosen.kind
    parts = [_cause_phrase(facts, kind, words)]
    used = []
    # A health check fails for many reasons: what the service used is an effect only where it is much.
    every = kind is not Kind.HEALTH
    if (cpu := facts.number("cpu_percent")) is not None and (every or facts.cpu_high):
        used.append(f"CPU {words.percent(cpu)}")
    if (memory := facts.number("memory_bytes")) is not None and (every or facts.memory_high):
        used.append(words("메모리 {v}", "memory {v}", v=words.size(memory)))
    if used and kind in (Kind.RETRY, Kind.MEMORY, Kind.CPU, Kind.HEALTH):
        parts.append(words("{s} {u} 사용", "{s} uses {u}", s=facts.service, u=", ".join(used)))
    failed = facts.failed_probes
    if facts.streak and kind is not Kind.HEALTH:
        parts.append(words("헬스체크 {n}회 연속 실패", "{n} failed health checks in a row", n=facts.streak))
    elif failed and kind not in (Kind.PROBE, Kind.PROXY):
        parts.append(words("접속 확인 {n}건 실패", "failed probes: {n}", n=len(failed)))
    return " → ".join(parts)


def subject_name(facts: Facts, words: Words) -> str:
    """Return what is retried, as people call it."""
    return {
        "websocket": words("WebSocket 연결", "WebSocket connection"),
        "database": words("데이터베이스 연결", "database connection"),
        "redis": words("Redis 연결", "Redis connection"),
        "connection": words("외부 연결", "connection"),
    }[facts.retry_subject]


def _cause_phrase(facts: Facts, kind: Kind, words: Words) -> str:
    service = facts.service
    match kind:
        case Kind.RETRY:
            share = facts.retry.share * 100 if facts.retry else 0.0
            return words(
                "{what} 무한 재시도 루프 (로그의 {share:.0f}%)",
                "Endless retry loop of the {what} ({share:.0f}% of the log)",
                what=subject_name(facts, words),
                share=share,
            )
        case Kind.CRASH:
            count = facts.restarts
            exit_code = facts.metrics.get("exit_code")
            if count:
                return words(
                    "{s} 반복 재시작 ({n}회)", "{s} keeps restarting ({n} times)", s=service, n=count
                )
            return words(
                "{s} 비정상 종료 (코드 {c})", "{s} exited by error (code {c})", s=service, c=exit_code
            )
        case Kind.MEMORY:
            return words("{s} 메모리 과다 사용", "{s} uses too much memory", s=service)
        case Kind.GATEWAY:
            slot = facts.lost_slot or {}
            tries = number(slot.get("attempts_count"))
            return words(
                "키움 연결 끊김 (시도 {n}회, 마지막 오류: {e})",
                "Kiwoom connection lost ({n} attempts, last error: {e})",
                n=words.no_data if tries is None else f"{tries:,.0f}",
                e=cut(str(slot.get("last_error") or words.no_data), 80),
            )
        case Kind.PROXY:
            return words(
                "프록시 구간 장애로 외부 접속 {n}건 실패",
                "The proxy fails {n} external checks while the service answers",
                n=len(facts.failed_probes),
            )
        case Kind.CPU:
            return words("{s} CPU 포화", "{s} has its CPU saturated", s=service)
        case Kind.HEALTH:
            return words(
                "{s} 헬스체크 {n}회 연속 실패",
                "{s} failed {n} health checks in a row",
                s=service,
                n=facts.streak or 1,
            )
        case Kind.PROBE:
            return words("접속 확인 {n}건 실패", "failed probes: {n}", n=len(facts.failed_probes))
