"""The last lines of evidence that a message shows."""

from __future__ import annotations

from collections.abc import Mapping

from incidents import evidence
from incidents.inert import one_line
from incidents.models import EvidenceKind, Incident
from incidents.texts import LINE_MAX

#: Lines of evidence in a message.
LINES_SHOWN = 3


def evidence_lines(incident: Incident) -> list[str]:
    """Return the last lines of the frozen log, its loudest messages, or what the health check said."""
    frozen = incident.evidence.filter(captured_at__gte=incident.burning_since)
    for kind, read in ((EvidenceKind.LOGS, _log_lines), (EvidenceKind.HEALTH, _health_lines)):
        for row in frozen.filter(kind=kind).order_by("-pk")[:LINES_SHOWN]:
            try:
                found = [one_line(line, LINE_MAX) for line in read(evidence.load(row))]
            except (evidence.EvidenceDamaged, TypeError, AttributeError, KeyError):
                continue
            if lines := [line for line in found if line][-LINES_SHOWN:]:
                return lines
    return []


def _log_lines(data: Mapping[str, object]) -> list[str]:
    tail = data.get("tail")
    if isinstance(tail, list) and tail:
        return [str(line) for line in tail[-LINES_SHOWN * 3 :]]
    templates = data.get("templates")
    loudest = templates[:LINES_SHOWN] if isinstance(templates, list) else []
    return [f"{one['count']:,} × {one['sample']}" for one in reversed(loudest)]


def _health_lines(data: Mapping[str, object]) -> list[str]:
    log = data.get("log")
    return [str(one["output"]) for one in log[-LINES_SHOWN:]] if isinstance(log, list) else []
