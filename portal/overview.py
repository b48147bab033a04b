"""The four lists that the API, ``status --json`` and scripts read; plain values, no wording."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from portal.dashboard import queries
from portal.dashboard.gateway import read_panel

Rows = list[dict[str, Any]]


def gateway_json() -> Rows:
    """Return each upstream connection; ``unknown`` when nothing reports for it."""
    panel = read_panel()
    known = {status.slot: status for status in panel.statuses}
    rows = []
    for slot in panel.slots:
        status = known.get(slot)
        rows.append(
            {
                "key": slot,
                "state": str(status.feed) if status else "unknown",
                "attempts": status.attempts if status else 0,
                "next_retry_s": status.next_retry_s if status else None,
                "connections": panel.connections,
            }
        )
    return rows


def services_json() -> Rows:
    """Return the latest reading of each watched service: three queries."""
    return [
        {
            "name": row.name,
            "runtime": row.runtime,
            "state": "unknown" if row.stale and row.state != "gone" else row.state,
            "health": row.health,
            "failing_streak": row.failing_streak,
            "cpu_percent": row.cpu_percent,
            "memory_bytes": row.memory_bytes,
            "log_lines_per_s": row.log_lines_per_s,
            "age_s": None if row.age_s is None else round(row.age_s, 1),
        }
        for row in queries.service_rows(timezone.now())
    ]


def incidents_json() -> Rows:
    """Return the newest incidents: one query."""
    return [
        {
            "number": row.number,
            "title": row.title,
            "severity": row.severity,
            "state": row.state,
            "services": list(row.services),
            "opened_at": row.opened_at,
            "resolved_at": row.resolved_at,
        }
        for row in queries.incidents()
    ]


def checklist_json() -> Rows:
    """Return preventive measures: one query."""
    return [
        {
            "incident": row.incident,
            "item": row.text,
            "state": row.state,
            "verifier": row.verifier,
            "observed": row.observed,
        }
        for row in queries.checklist()
    ]


def everything() -> dict[str, Rows]:
    """Return all four lists by name."""
    return {
        "gateway": gateway_json(),
        "services": services_json(),
        "incidents": incidents_json(),
        "checklist": checklist_json(),
    }
