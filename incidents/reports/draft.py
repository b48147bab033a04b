"""Drafts a report from evidence: the same evidence gives the same report. Knows no database.

Each row says whether it was measured or inferred and names its evidence; what nobody measured is printed
as "no data", never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from incidents.reports import draft_causes, draft_fixes, draft_status, localiser
from incidents.reports.candidates import likeliest
from incidents.reports.draft_causes import root_cause, subject_name
from incidents.reports.facts import Facts, number
from incidents.reports.model import INFERRED, MEASURED, Access, Document, Problem, Row
from incidents.reports.words import Words, code, cut, fenced, plain

#: Log templates printed in the first problem.
TEMPLATES_SHOWN = 3
ACCESS_SHOWN = 20


def draft(facts: Facts, language: str) -> Document:
    """Return the drafted report of ``facts`` in ``language`` (``ko`` or ``en``)."""
    words = Words(language)
    cause = likeliest(facts)
    line = root_cause(facts, words)
    status = draft_status.rows(facts, words)
    rows = draft_fixes.rows(facts, words)
    causes = draft_causes.rows(facts, words)
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
        root_cause_row=Row(provenance=INFERRED, evidence=cause.evidence if cause else None),
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


def _problems(facts: Facts, words: Words) -> tuple[Problem, ...]:
    return (
        _log_problem(facts, words),
        _health_problem(facts, words),
        Problem(
            title=words("외부 접속 결과", "External access"),
            body=_located(facts, words),
            kind="access",
            provenance=MEASURED,
            evidence=facts.evidence("probes"),
            key="problem:access",
        ),
    )


def _located(facts: Facts, words: Words) -> str:
    """Return the localiser's sentences; nothing when nothing fails or nothing was probed."""
    found = localiser.findings(facts.own_endpoints)
    return "\n".join(f"- **{words('위치 추정', 'Where')}:** {words.pick(one.ko, one.en)}" for one in found)


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
            n=max(facts.lines or 0, sum(row.count for row in templates)),
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
