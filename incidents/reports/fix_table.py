"""Which changes each root cause asks for: rows of the fix table, by stated cause."""

from __future__ import annotations

from collections.abc import Mapping

from incidents.reports.candidates import Kind, likeliest
from incidents.reports.facts import Facts
from incidents.reports.model import INFERRED, Fix
from incidents.reports.words import Words, code

#: For each cause its changes: key, where (a file, or ``source``/``service`` of the facts), what, priority.
SUGGESTIONS: Mapping[Kind, tuple[tuple[str, str, tuple[str, str], str], ...]] = {
    Kind.RETRY: (
        ("backoff", "source", ("지수 백오프 추가", "Add exponential backoff"), "P0"),
        ("attempts", "source", ("최대 재시도 제한", "Limit the number of retries"), "P0"),
        ("level", "source", ("로그 레벨 조정", "Adjust the log level"), "P1"),
    ),
    Kind.CRASH: (("crash", "service", ("종료 원인 수정", "Fix what makes it exit"), "P0"),),
    Kind.MEMORY: (
        ("leak", "service", ("메모리를 계속 붙잡는 코드 수정", "Fix what holds on to memory"), "P0"),
        ("bound", "service", ("큐와 캐시의 상한 설정", "Bound queues and caches"), "P1"),
    ),
    Kind.GATEWAY: (
        ("credentials", "gateway", ("앱 키와 IP 등록 확인", "Check the app key and the registered IP"), "P0"),
        ("breaker", "gateway", ("차단기와 시도 한도 확인", "Check the breaker and the attempt limit"), "P1"),
    ),
    Kind.PROXY: (
        (
            "upgrade",
            "nginx.conf",
            ('Connection 헤더를 "upgrade"로 고정', 'Set the Connection header to "upgrade"'),
            "P0",
        ),
        (
            "timeout",
            "nginx.conf",
            ("upstream 주소와 타임아웃 확인", "Check upstream address and timeouts"),
            "P1",
        ),
    ),
    Kind.CPU: (
        ("hot_loop", "service", ("CPU를 쓰는 반복 처리 수정", "Fix the loop that burns the CPU"), "P0"),
    ),
    Kind.HEALTH: (
        ("health", "service", ("헬스체크가 실패하는 원인 수정", "Fix what the health check finds"), "P0"),
    ),
    Kind.PROBE: (("reach", "service", ("접속 경로 점검", "Check the way to the service"), "P1"),),
}


def rows(facts: Facts, words: Words) -> tuple[Fix, ...]:
    """Return the changes that the likeliest cause and the missing limits ask for."""
    first = likeliest(facts)
    kinds = [Kind.RETRY] if facts.retry else [first.kind] if first else []
    found = [fix for kind in kinds for fix in suggestions(kind, facts, words)]
    if facts.docker and facts.memory_limit_known and not facts.number("memory_limit_bytes"):
        found.append(
            Fix(
                file=code("compose.yaml"),
                change=words(
                    "리소스 제한 설정 (CPU 1코어, 메모리 2GB)", "Set limits (CPU 1 core, memory 2 GB)"
                ),
                priority="P1",
                provenance=INFERRED,
                evidence=facts.evidence("metrics"),
                key="fix:limits",
            )
        )
    return tuple(found)


def suggestions(kind: Kind, facts: Facts, words: Words) -> tuple[Fix, ...]:
    """Return the changes that one cause asks for."""
    evidence = facts.evidence({Kind.RETRY: "logs"}.get(kind, "metrics"))
    return tuple(
        Fix(
            file=_where(where, facts, words),
            change=words.pick(*what),
            priority=priority,
            provenance=INFERRED,
            evidence=evidence,
            key=f"fix:{key}",
        )
        for key, where, what, priority in SUGGESTIONS[kind]
    )


def _where(where: str, facts: Facts, words: Words) -> str:
    if where == "source":
        return words("{s} 재연결 코드", "reconnect code of {s}", s=code(facts.service))
    return code(facts.service if where == "service" else where)
