"""The draft's remedies: commands, code problems, fixes, proxy, long-term items, files, checklist."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from incidents.reports import fix_table
from incidents.reports.facts import Facts, number
from incidents.reports.layout import KST, SUFFIX
from incidents.reports.model import (
    INFERRED,
    MEASURED,
    CodeProblem,
    Command,
    File,
    Fix,
    Item,
    LongTerm,
    Proxy,
)
from incidents.reports.words import Words, cut, fenced, plain

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
#: Key, text, priority and verifier of an item on the checklist.
_Measure = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedies:
    """Rows of the sections that say what to do."""

    commands: tuple[Command, ...]
    code_problems: tuple[CodeProblem, ...]
    fixes: tuple[Fix, ...]
    proxies: tuple[Proxy, ...]
    long_term: tuple[LongTerm, ...]
    files: tuple[File, ...]
    checklist: tuple[Item, ...]


def rows(facts: Facts, words: Words) -> Remedies:
    """Return what the evidence suggests to do."""
    return Remedies(
        commands=_commands(facts, words),
        code_problems=_code_problems(facts, words),
        fixes=fix_table.rows(facts, words),
        proxies=_proxies(facts, words),
        long_term=_long_term(facts, words),
        files=_files(facts, words),
        checklist=_checklist(facts, words),
    )


def _commands(facts: Facts, words: Words) -> tuple[Command, ...]:
    name = shlex.quote(facts.unit)
    control = "supervisorctl -c var/supervisord.conf"
    own = (str(one.get("url")) for one in facts.own_endpoints if one.get("kind") == "http")
    url = next(own, None)
    if facts.docker:
        restart, logs = f"docker restart {name}", f"docker logs -f {name} --tail 100"
        check = f"docker inspect --format '{{{{json .State.Health}}}}' {name}"
    else:
        restart, logs, check = (
            f"{control} restart {name}",
            f"{control} tail {name}",
            f"{control} status {name}",
        )
    known = bool(facts.unit and (facts.metrics or facts.inspect))
    lines = [
        ("restart", words("{s} 재시작", "Restart {s}", s=facts.unit), restart if known else ""),
        ("logs", words("로그 확인", "Read the log"), logs if known else ""),
        (
            "check",
            words("상태 확인", "Check the state"),
            # A container's label may have chosen the address, and people paste commands.
            f"curl {shlex.quote(url)}" if url else check if known else "",
        ),
    ]
    return tuple(
        Command(comment=comment, command=command, provenance=INFERRED, key=f"command:{key}")
        for key, comment, command in lines
        if command
    )


def _code_problems(facts: Facts, words: Words) -> tuple[CodeProblem, ...]:
    template = facts.retry
    if template is None:
        return ()
    rate = (facts.rate or 0.0) * template.share
    most = "≤" if facts.rate_is_lower_bound else ""
    gap = words("{m}{v:.3g}초", "{m}{v:.3g} s", m=most, v=1 / rate) if rate > 0 else words.no_data
    logged = words.rate(facts.rate, at_least=facts.rate_is_lower_bound)
    found = [
        ("interval", words("재시도 간격", "Retry interval"), gap, "1s → 2s → 4s → ... (≤60s)"),
        (
            "limit",
            words("최대 재시도", "Retry limit"),
            words("{n:,}회 기록, 제한 없음", "{n:,} seen, no limit", n=template.count),
            words("제한 필요 (예: 100회)", "Needs one (e.g. 100)"),
        ),
        (
            "logging",
            words("로깅", "Logging"),
            words("매번 ({r})", "Each try ({r})", r=logged),
            words("주기적 요약", "Periodic summary"),
        ),
    ]
    return tuple(
        CodeProblem(
            problem=problem,
            current=current,
            right=right,
            provenance=INFERRED if key == "limit" else MEASURED,
            evidence=facts.evidence("logs"),
            key=f"code:{key}",
        )
        for key, problem, current, right in found
    )


def proxy_broken(facts: Facts) -> bool:
    """Return whether a WebSocket fails through a public name while the service itself answers."""
    local_ok = any(_local(one) and one.get("ok") is True for one in facts.own_endpoints)
    return local_ok and any(one.get("ok") is False for one in _outer(facts))


def _outer(facts: Facts) -> list[Mapping[str, Any]]:
    """Return the WebSockets that are reached by another way than straight from this machine."""
    return [one for one in facts.own_endpoints if one.get("kind") == "websocket" and not _local(one)]


def _proxies(facts: Facts, words: Words) -> tuple[Proxy, ...]:
    outer = _outer(facts)
    if proxy_broken(facts):
        broken = next(one for one in outer if one.get("ok") is False)
        path = urlsplit(str(broken.get("url", ""))).path or "/ws"
        lines = [
            f"location {path} {{",
            "    proxy_http_version 1.1;",
            "    proxy_set_header Upgrade $http_upgrade;",
            '    proxy_set_header Connection "upgrade";',
            "}",
        ]
        body = fenced("\n".join(lines), "nginx")
    elif outer and all(one.get("ok") is True for one in outer):
        body = words("프록시 경로의 WebSocket은 정상입니다.", "WebSocket passes through the proxy.")
    elif _silent_without_proxy(facts) and (failed := [one for one in outer if one.get("ok") is False]):
        body = words(
            "프록시에서 고칠 것 없음: 프록시 경로의 WebSocket 실패({d}), 서비스는 프록시 없이도 응답 없음",
            "Nothing to change in the proxy: the WebSocket failed through it ({d}), and the service did not "
            "answer without it either",
            d=plain(cut(str(failed[0].get("detail") or ""), 120)),
        )
    else:
        return ()
    probes = next((one for one in facts.sources if one.kind == "probes"), None)
    evidence = probes.evidence if probes else None
    return (Proxy(body=body, provenance=INFERRED, evidence=evidence, key="proxy:upgrade"),)


def _silent_without_proxy(facts: Facts) -> bool:
    return any(_local(one) and one.get("ok") is False for one in facts.own_endpoints)


def _local(one: Mapping[str, Any]) -> bool:
    return (urlsplit(str(one.get("url", ""))).hostname or "") in _LOCAL or one.get("vantage") == "inside"


def _long_term(facts: Facts, words: Words) -> tuple[LongTerm, ...]:
    if not facts.sources:
        return ()
    limits, options = facts.inspect.get("limits"), facts.inspect.get("log_options")
    now = words(" — 현재 {v}", " — now {v}", v=_limits(limits, words)) if facts.inspect else ""
    logs = words(" — 현재 {v}", " — now {v}", v=_options(options, words)) if facts.inspect else ""
    breaker = words("서킷 브레이커 패턴 도입", "Introduce a circuit breaker")
    cause = words("원인 서비스의 부하 시험과 용량 계획", "Load test and capacity plan of the service")
    found = [
        ("breaker", breaker if facts.retry or facts.lost_slot else cause),
        (
            "limits",
            words("리소스 제한 설정 (CPU 1코어, 메모리 2GB)", "Set limits (CPU 1 core, memory 2 GB)") + now,
        ),
        (
            "logs",
            words("로그 관리 정책 (max-size: 10m, max-file: 3)", "Log policy (max-size: 10m, max-file: 3)")
            + logs,
        ),
        ("alerts", words("모니터링 알림 강화", "Strengthen monitoring alerts")),
    ]
    evidence = facts.evidence("inspect")
    return tuple(
        LongTerm(text=text, provenance=INFERRED, evidence=evidence, key=f"long:{key}") for key, text in found
    )


def _limits(limits: object, words: Words) -> str:
    if not isinstance(limits, Mapping):
        return words.no_data
    cpus, memory = number(limits.get("cpu_cores")), number(limits.get("memory_bytes"))
    none = words("없음", "none")
    return words(
        "CPU {c}, 메모리 {m}",
        "CPU {c}, memory {m}",
        c=words("{v:g}코어", "{v:g} cores", v=cpus) if cpus else none,
        m=words.size(memory) if memory else none,
    )


def _options(options: object, words: Words) -> str:
    if not isinstance(options, Mapping):
        return words.no_data
    shown = [f"{name}: {options[name]}" for name in ("max-size", "max-file") if options.get(name)]
    return ", ".join(shown) or words("설정 없음", "not set")


def _files(facts: Facts, words: Words) -> tuple[File, ...]:
    slug = facts.slug.replace("-", "_")
    day = facts.analysed_at.astimezone(KST).strftime("%Y%m%d")
    return (
        File(
            label=SUFFIX["detail"][words.language],
            path=f"docs/report/{slug}_root_cause_{day}.md",
            provenance=INFERRED,
            key="file:detail",
        ),
        File(
            label=SUFFIX["summary"][words.language],
            path=f"docs/report/{slug}_summary_{day}.md",
            note=words("이 파일", "this file"),
            provenance=INFERRED,
            key="file:summary",
        ),
    )


def _checklist(facts: Facts, words: Words) -> tuple[Item, ...]:
    if not facts.sources:
        return ()
    retries = facts.retry or facts.lost_slot
    found = [*(_of_retries(facts, words) if retries else _of_cause(words)), *_of_container(words)]
    if proxy_broken(facts):
        text = words("Nginx Connection 헤더 수정", "Correct nginx's Connection header")
        found.append(("proxy", text, "P0", "proxy.upgrade"))
    text = words("CPU/메모리 모니터링 알림 설정", "Set up CPU and memory alerts")
    found.append(("alerts", text, "P1", "alert.armed"))
    return tuple(
        Item(
            text=text,
            priority=priority,
            verifier=verifier,
            target=facts.service,
            provenance=INFERRED,
            key=f"item:{key}",
        )
        for key, text, priority, verifier in found
    )


def _of_retries(facts: Facts, words: Words) -> Iterator[_Measure]:
    what = words("WebSocket ", "WebSocket ") if facts.retry_subject == "websocket" else ""
    text = words("{w}재시도 로직에 지수 백오프 추가", "Add exponential backoff to the {w}retries", w=what)
    yield "backoff", text, "P0", "gateway.backoff"
    text = words("최대 재시도 횟수 제한 설정", "Limit the number of retries")
    yield "attempts", text, "P0", "gateway.attempt_limit"
    text = words(
        "로그 레벨 조정 (INFO → WARNING for retries)", "Adjust the log level (INFO → WARNING for retries)"
    )
    yield "level", text, "P1", "logs.retry_level"


def _of_cause(words: Words) -> Iterator[_Measure]:
    text = words("근본 원인 수정과 재발 시험", "Fix the root cause and test that it stays away")
    yield "cause", text, "P0", ""
    text = words("Healthcheck 설정 확인", "Check that a health check is present")
    yield "health", text, "P1", "docker.health_check"


def _of_container(words: Words) -> Iterator[_Measure]:
    text = words("Docker 리소스 제한 설정", "Set Docker resource limits")
    yield "limits", text, "P1", "docker.limits"
    text = words(
        "Docker 로그 크기 제한 설정 (max-size, max-file)", "Set Docker log rotation (max-size, max-file)"
    )
    yield "log_options", text, "P1", "docker.log_options"
