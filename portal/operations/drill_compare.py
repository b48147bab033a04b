"""A drill's figures beside the frozen numbers of an incident, and both in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from gateway.drills.plan import Check, Measured, Rule
from incidents import evidence
from incidents.models import Evidence, EvidenceKind, Incident, ProblemDetail, StatusRow

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(KB|KiB|MB|MiB|GB|GiB)", re.IGNORECASE)
#: ``22만 개 이상의 로그`` and ``220,000 log lines``: a count of lines in a report written by a person.
_LINES_KO = re.compile(r"(\d[\d,.]*)\s*(만|천)?\s*(?:개|줄|건)[^\n]{0,20}로그")
_LINES_EN = re.compile(r"(\d[\d,]*)\s*\+?\s*(?:log lines|lines of log|logs)\b", re.IGNORECASE)
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
_TIMES = {"만": 10_000, "천": 1_000, "": 1}


def frozen_numbers(incident: Incident) -> dict[str, float]:
    """Return the incident's lines, CPU and memory: from its evidence, else from the report's own words.

    A number that nobody measured or wrote is absent.
    """
    return _from_evidence(incident) or _from_report(incident)


def _from_evidence(incident: Incident) -> dict[str, float]:
    found: dict[str, float] = {}
    kinds = (EvidenceKind.METRICS, EvidenceKind.LOGS)
    for row in Evidence.objects.filter(incident=incident, kind__in=kinds).order_by("pk")[:20]:
        try:
            data = evidence.load(row)
        except evidence.EvidenceDamaged:
            continue
        if row.kind == EvidenceKind.LOGS:
            _largest(found, "lines", data.get("lines_total"))
        else:
            _largest(found, "cpu_percent", data.get("cpu_percent"))
            _largest(found, "memory", data.get("memory_bytes"))
            _largest(found, "lines", data.get("log_lines_total"))
    return found


def _from_report(incident: Incident) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in StatusRow.objects.filter(report__incident=incident)[:50]:
        if (number := _NUMBER.search(row.cpu)) and "<" not in row.cpu:
            _largest(found, "cpu_percent", float(number[0].replace(",", "")))
        if memory := _MEMORY.search(row.memory):
            _largest(found, "memory", float(memory[1]) * _UNITS[memory[2][0].lower()])
    for problem in ProblemDetail.objects.filter(report__incident=incident)[:50]:
        for match in _LINES_KO.finditer(problem.body):
            _largest(found, "lines", float(match[1].replace(",", "")) * _TIMES[match[2] or ""])
        for match in _LINES_EN.finditer(problem.body):
            _largest(found, "lines", float(match[1].replace(",", "")))
    return found


def _largest(found: dict[str, float], name: str, value: object) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        found[name] = max(found.get(name, 0.0), float(value))


def then(frozen: Mapping[str, Any]) -> str:
    """Return the incident's numbers in words, empty without any."""
    parts = []
    if "lines" in frozen:
        parts.append(_("%(n)s lines") % {"n": f"{frozen['lines']:,.0f}"})
    if "cpu_percent" in frozen:
        parts.append(f"CPU {frozen['cpu_percent']:.1f} %")
    if "memory" in frozen:
        parts.append(f"{frozen['memory'] / 2**30:.2f} GiB")
    return ", ".join(parts)


def now(seen: Measured) -> str:
    """Return a drill's figures in words."""
    if seen.written:
        counted = _("%(n)s lines counted") % {"n": f"{seen.lines:,}"}
        opened = seen.told.get("opened")
        alarm = _("no alert") if opened is None else _("alert after %(s).0f s") % {"s": opened}
        return f"{counted}, {alarm}, CPU {seen.cpu_percent:.1f} %"
    attempts = ngettext("%(n)d attempt", "%(n)d attempts", seen.attempts) % {"n": seen.attempts}
    lines = ngettext("%(n)d line", "%(n)d lines", seen.lines) % {"n": seen.lines}
    return f"{attempts}, {lines}, CPU {seen.cpu_percent:.1f} %"


def sentence(number: int | None, frozen: Mapping[str, Any], seen: Measured) -> str:
    """Return ``INC-1: 220,000 lines, CPU 102.8 %; now: 14 attempts, 3 lines, CPU 2.0 %``."""
    words = now(seen)
    if number is None or not (before := then(frozen)):
        return words
    return _("INC-%(number)s: %(before)s; now: %(now)s") % {"number": number, "before": before, "now": words}


def rule_words(check: Check) -> str:
    """Return what is expected."""
    names = {
        Rule.MET: _("the fault was met (at least %(bound)s attempts)"),
        Rule.ATTEMPTS: _("at most %(bound)s attempts"),
        Rule.WAITS: _("waits of at least %(bound)s s that grow"),
        Rule.LIMIT: _("gives up after at most %(bound)s attempts in a row"),
        Rule.HOURLY: _("at most %(bound)s log lines an hour while nobody answers"),
        Rule.BREAKER: _("the breaker opens"),
        Rule.PARKED: _("parked and told within %(bound)s s"),
        Rule.STALE: _("told to be stale within %(bound)s s"),
        Rule.LINES: _("at most %(bound)s log lines"),
        Rule.LEVEL: _("no line of a retry below WARNING"),
        Rule.CPU: _("at most %(bound)s of a core"),
        Rule.MEMORY: _("at most %(bound)s of memory"),
        Rule.TOLD: _("each change told within %(bound)s s"),
        Rule.RECOVERED: _("recovers when the fault ends"),
        Rule.OPENED: _("an alert would open within %(bound)s s"),
        Rule.COUNTED: _("at least %(bound)s lines counted, or the rate marked as a lower bound"),
        Rule.TEMPLATE: _("one template holds at least %(bound)s %% of the lines"),
        Rule.CLOSED: _("the alert would close within %(bound)s s after the flood"),
    }
    return names[Rule(check.rule)] % {"bound": _value(check.rule, check.bound)}


def seen_words(check: Check) -> str:
    """Return what was seen."""
    if check.seen is None:
        return _("not seen")
    unit = " s" if check.rule in _SECONDS else ""
    return _value(check.rule, check.seen) + unit


_SECONDS = frozenset(
    {Rule.WAITS, Rule.BREAKER, Rule.PARKED, Rule.STALE, Rule.TOLD, Rule.RECOVERED, Rule.OPENED, Rule.CLOSED},
)


def _value(rule: str, value: float | None) -> str:
    if value is None:
        return ""
    if rule == Rule.MEMORY:
        return f"{value / 2**20:.0f} MiB"
    if rule == Rule.CPU:
        return f"{value:.1f} %"
    return f"{value:g}"
