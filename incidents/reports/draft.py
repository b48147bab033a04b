"""Drafts a report from evidence: the same evidence gives the same report. Knows no database.

Each row says whether it was measured or inferred and names its evidence; what nobody measured is printed
as "no data", never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from incidents.reports import draft_fixes, draft_status
from incidents.reports.facts import MEMORY_HIGH, Facts, Kind, number
from incidents.reports.model import INFERRED, MEASURED, Access, Cause, Document, Problem, Row
from incidents.reports.words import Words, code, cut, fenced, plain

#: Log templates printed in the first problem.
TEMPLATES_SHOWN = 3
ACCESS_SHOWN = 20
#: Evidence that shows a cause; what no other kind shows is in the metrics.
_SHOWN_BY = {
    Kind.RETRY: ("logs",),
    Kind.HEALTH: ("health",),
    Kind.PROBE: ("probes",),
    Kind.GATEWAY: ("gateway",),
}


def draft(facts: Facts, language: str) -> Document:
    """Return the drafted report of ``facts`` in ``language`` (``ko`` or ``en``)."""
    words = Words(language)
    line = root_cause(facts, words)
    status = draft_status.rows(facts, words)
    rows = draft_fixes.rows(facts, words)
    causes = _causes(facts, words)
    filled = {
        "root_cause": bool(line),
        "status": bool(status),
        "direct": any(row.kind == "direct" for row in causes),
        "secondary": any(row.kind == "secondary" for row in causes),
        "code": bool(rows.code_problems),
        "emergency": bool(rows.commands),
        "code_fixes": bool(rows.fixes),
        "proxy": bool(rows.proxies),
        "long_term": bool(rows.long_term),
        "checklist": bool(rows.checklist),
    }
    return Document(
        title=plain(facts.title),
        language=language,
        analysed_at=facts.analysed_at,
        root_cause=line,
        root_cause_row=Row(provenance=INFERRED, evidence=_evidence_of(facts)),
        status=status,
        problems=_problems(facts, words),
        access=_access(facts, words),
        causes=causes,
        code_problems=rows.code_problems,
        commands=rows.commands,
        fixes=rows.fixes,
        proxies=rows.proxies,
        long_term=rows.long_term,
        files=rows.files,
        checklist=rows.checklist,
        empty=tuple(slot for slot, there in filled.items() if not there),
    )


def root_cause(facts: Facts, words: Words) -> str:
    """Return the root cause in one line: cause → use of resources → effect; empty without evidence."""
    ranked = facts.candidates()
    if not ranked:
        return ""
    parts = [_cause_phrase(facts, ranked[0].kind, words)]
    used = []
    if (cpu := facts.number("cpu_percent")) is not None:
        used.append(f"CPU {words.percent(cpu)}")
    if (memory := facts.number("memory_bytes")) is not None:
        used.append(words("메모리 {v}", "memory {v}", v=words.size(memory)))
    if used and ranked[0].kind in (Kind.RETRY, Kind.MEMORY, Kind.CPU, Kind.HEALTH):
        parts.append(words("{s} {u} 사용", "{s} uses {u}", s=facts.service, u=", ".join(used)))
    failed = facts.failed_probes
    if facts.streak and ranked[0].kind is not Kind.HEALTH:
        parts.append(words("헬스체크 {n}회 연속 실패", "{n} failed health checks in a row", n=facts.streak))
    elif failed and ranked[0].kind is not Kind.PROBE:
        parts.append(words("접속 확인 {n}건 실패", "{n} failed probes", n=len(failed)))
    return " → ".join(parts)


def _evidence_of(facts: Facts) -> int | None:
    """Return the evidence behind the likeliest root cause."""
    ranked = facts.candidates()
    names = _SHOWN_BY.get(ranked[0].kind, ()) if ranked else ()
    return next((found for name in (*names, "metrics") if (found := facts.evidence(name))), None)


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
            return words("접속 확인 {n}건 실패", "{n} failed probes", n=len(facts.failed_probes))


def _problems(facts: Facts, words: Words) -> tuple[Problem, ...]:
    return (
        _log_problem(facts, words),
        _health_problem(facts, words),
        Problem(
            title=words("외부 접속 결과", "External access"),
            kind="access",
            provenance=MEASURED,
            evidence=facts.evidence("probes"),
            key="problem:access",
        ),
    )


def _log_problem(facts: Facts, words: Words) -> Problem:
    templates = facts.templates
    title = words("로그", "Log")
    if not templates:
        return Problem(title=title, body=words.no_data, provenance=MEASURED, key="problem:log")
    top = templates[0]
    if facts.retry:
        title = words("{w} 실패 무한 루프", "Endless loop of a failing {w}", w=subject_name(facts, words))
    elif top.share >= 0.5:
        title = words("같은 로그 반복", "One log message repeated")
    lines = [cut(row.sample) for row in templates[:TEMPLATES_SHOWN]]
    lines.append(
        words(
            "... ({n:,}줄 가운데 {p:.1f}%가 첫 번째 메시지)",
            "... ({p:.1f}% of {n:,} lines are the first message)",
            n=facts.lines if facts.lines is not None else sum(row.count for row in templates),
            p=top.share * 100,
        )
    )
    bullets = []
    if facts.target:
        bullets.append(words("**대상:** {t}", "**Target:** {t}", t=code(facts.target)))
    bullets.append(
        words(
            "**문제:** {t} — {n:,}회, {r}",
            "**Problem:** {t} — {n:,} times, {r}",
            t=code(cut(top.text, 120)),
            n=top.count,
            r=words.rate(facts.rate, at_least=facts.rate_is_lower_bound),
        )
    )
    bullets.append(
        words(
            "**결과:** CPU {c}, 메모리 {m}",
            "**Effect:** CPU {c}, memory {m}",
            c=words.percent(facts.number("cpu_percent")),
            m=words.size(facts.number("memory_bytes")),
        )
    )
    body = fenced("\n".join(lines)) + "\n\n" + "\n".join(f"- {text}" for text in bullets)
    return Problem(
        title=title, body=body, provenance=MEASURED, evidence=facts.evidence("logs"), key="problem:log"
    )


def _health_problem(facts: Facts, words: Words) -> Problem:
    title = words("Healthcheck 실패", "Health check failing")
    if facts.status in (None, "none") and not facts.streak:
        title = words("Healthcheck", "Health check")
        body = words.no_data
        if facts.status == "none":
            body = words("헬스체크가 설정되어 있지 않습니다.", "There is no health check.")
        return Problem(
            title=title,
            body=body,
            provenance=MEASURED,
            evidence=facts.evidence("health") or facts.evidence("metrics"),
            key="problem:health",
        )
    if not facts.streak and facts.status != "unhealthy":
        title = words("Healthcheck 정상", "Health check passing")
        if facts.status == "starting":
            title = words("Healthcheck 시작 중", "Health check starting")
    block = json.dumps({"Status": facts.status, "FailingStreak": facts.streak}, indent=2)
    parts = [fenced(block, "json")]
    bullets = []
    if facts.streak and facts.interval:
        bullets.append(
            words(
                "**실패 지속:** {n}회 × {i:g}초 ≈ {span}",
                "**Failing for:** {n} × {i:g} s ≈ {span}",
                n=facts.streak,
                i=facts.interval,
                span=words.span(facts.streak * facts.interval),
            )
        )
    log = [row for row in facts.health.get("log", []) if isinstance(row, Mapping) and row.get("output")]
    if log:
        output = code(cut(str(log[-1]["output"]), 160))
        bullets.append(words("**마지막 출력:** {o}", "**Last output:** {o}", o=output))
    if bullets:
        parts.append("\n".join(f"- {text}" for text in bullets))
    evidence = facts.evidence("health") or facts.evidence("metrics")
    return Problem(
        title=title, body="\n\n".join(parts), provenance=MEASURED, evidence=evidence, key="problem:health"
    )


def _access(facts: Facts, words: Words) -> tuple[Access, ...]:
    source = next((one for one in facts.sources if one.kind == "probes"), None)
    rows = []
    for one in facts.endpoints[:ACCESS_SHOWN]:
        url, vantage = str(one.get("url", "")), str(one.get("vantage") or "")
        detail, latency = cut(str(one.get("detail") or ""), 120), number(one.get("latency_ms"))
        if one.get("ok") is True:
            result = words("✅ 정상", "✅ OK") + (f" ({latency:.0f} ms)" if latency is not None else "")
        elif one.get("ok") is False:
            result = f"❌ {plain(detail)}" if detail else words("❌ 실패", "❌ failed")
        else:
            result = words.no_data
        rows.append(
            Access(
                path=code(url) + (f" ({vantage})" if vantage else ""),
                result=result,
                provenance=MEASURED,
                evidence=source.evidence if source else None,
                key=f"access:{one.get('name', '')}:{vantage}:{url}"[:100],
            )
        )
    return tuple(rows)


def _causes(facts: Facts, words: Words) -> tuple[Cause, ...]:
    logs, metrics = facts.evidence("logs"), facts.evidence("metrics")
    found: list[tuple[str, str, str, int | None]] = []
    ranked = facts.candidates()
    if facts.retry:
        target = f": {code(facts.target)}" if facts.target else ""
        what = subject_name(facts, words)
        found.append(("direct", "failing", words("{w} 실패{t}", "{w} fails{t}", w=what, t=target), logs))
        text = words(
            "멈추지 않는 재시도 로직 (지수 백오프 없음)", "Retries without end (no exponential backoff)"
        )
        found.append(("direct", "retry", text, logs))
    elif ranked:
        phrase = _cause_phrase(facts, ranked[0].kind, words)
        found.append(("direct", ranked[0].kind.value, phrase, _evidence_of(facts)))
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
