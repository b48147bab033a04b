"""The draft's table of the current state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from incidents.reports.facts import Facts, number
from incidents.reports.model import MEASURED, Status
from incidents.reports.words import MIB, Words

#: Other services that get a line of their own.
OTHERS_SHOWN = 5


def rows(facts: Facts, words: Words) -> tuple[Status, ...]:
    """Return the service itself, the loud others, and one line for the quiet rest."""
    found = []
    evidence = facts.evidence("metrics")
    if facts.metrics:
        found.append(_status_row(facts, words, evidence))
    others = [row for row in facts.metrics.get("others", []) if isinstance(row, Mapping)]
    ranked = sorted(others, key=lambda row: -(number(row.get("cpu_percent")) or 0.0))
    loud = [row for row in ranked if not _quiet(row)][:OTHERS_SHOWN]
    found += [_other(row, words, evidence) for row in loud]
    rest = [row for row in others if row not in loud]
    if rest:
        found.append(_rest(rest, words, evidence))
    return tuple(found)


def _status_row(facts: Facts, words: Words, evidence: int | None) -> Status:
    cpu = words.percent(facts.number("cpu_percent"))
    memory = words.size(facts.number("memory_bytes"))
    stopped = facts.metrics.get("state") in ("exited", "gone")
    if stopped:
        state = words("⚫ 중지됨", "⚫ Stopped")
    elif facts.status == "unhealthy" or facts.crashed or facts.cpu_high:
        state = "🔴 **CRITICAL**"
    else:
        state = _mark(str(facts.metrics.get("state", "")), facts.status, words)
    return Status(
        service=facts.service,
        state=state,
        cpu=f"**{cpu}**" if facts.cpu_high else cpu,
        memory=f"**{memory}**" if facts.memory_high else memory,
        provenance=MEASURED,
        evidence=evidence,
        key=f"status:{facts.service}",
    )


def _other(row: Mapping[str, Any], words: Words, evidence: int | None) -> Status:
    name = str(row.get("service", ""))
    return Status(
        service=name,
        state=_mark(str(row.get("state", "")), str(row.get("health") or ""), words),
        cpu=words.percent(number(row.get("cpu_percent"))),
        memory=words.size(number(row.get("memory_bytes"))),
        provenance=MEASURED,
        evidence=evidence,
        key=f"status:{name}",
    )


def _rest(rows: list[Mapping[str, Any]], words: Words, evidence: int | None) -> Status:
    cpus = [value for row in rows if (value := number(row.get("cpu_percent"))) is not None]
    sizes = [value for row in rows if (value := number(row.get("memory_bytes"))) is not None]
    cpu = words.no_data if not cpus else "<1%" if max(cpus) < 1 else f"≤{max(cpus):.2f}%"
    size = (
        words.no_data if not sizes else "<100 MB" if max(sizes) < 100 * MIB else f"≤{words.size(max(sizes))}"
    )
    cpu, size = _of(len(cpus), rows, cpu, words), _of(len(sizes), rows, size, words)
    marks = {_mark(str(row.get("state", "")), str(row.get("health") or ""), words) for row in rows}
    return Status(
        service=words("기타 서비스 ({n}개)", "Other services ({n})", n=len(rows)),
        state=marks.pop() if len(marks) == 1 else words("🟡 혼재", "🟡 Mixed"),
        cpu=cpu,
        memory=size,
        provenance=MEASURED,
        evidence=evidence,
        key="status:*",
    )


def _of(measured: int, rows: list[Mapping[str, Any]], text: str, words: Words) -> str:
    """Return a value of several services; it says of how many when some were not measured."""
    if measured in (0, len(rows)):
        return text
    return words("{t} (측정 {n}개)", "{t} ({n} measured)", t=text, n=measured)


def _quiet(row: Mapping[str, Any]) -> bool:
    cpu, memory = number(row.get("cpu_percent")) or 0.0, number(row.get("memory_bytes")) or 0.0
    return cpu < 1 and memory < 100 * MIB and row.get("health") != "unhealthy"


def _mark(state: str, health: str | None, words: Words) -> str:
    if health == "unhealthy":
        return "🔴 Unhealthy"
    if state in ("exited", "gone"):
        return words("⚫ 중지됨", "⚫ Stopped")
    if state == "running":
        return "🟡 Starting" if health == "starting" else "🟢 Healthy"
    if state in ("restarting", "paused"):
        return (
            words("🟡 재시작 중", "🟡 Restarting")
            if state == "restarting"
            else words("🟡 일시 정지", "🟡 Paused")
        )
    return f"⚪ {words.no_data}"
