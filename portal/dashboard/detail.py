"""Contexts of the two detail pages: one service, one incident."""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from incidents.models import EXERCISE, Evidence, Incident, TimelineEvent
from portal.dashboard import acting, changes, matrix, messages, queries
from portal.dashboard.data import IncidentRow
from portal.dashboard.timeline import Entry, entry
from portal.monitoring.models import Service

Context = dict[str, Any]

TEMPLATES_MAX = 10
TIMELINE_MAX = 300
EVIDENCE_MAX = 60
#: Timeline events on the front page.
EVENTS_MAX = 8
#: Characters of one piece of evidence shown on the page; the whole is in the admin.
PREVIEW_CHARS = 4000


def service(pk: int) -> Context | None:
    """Return one service's page: seven queries."""
    found = Service.objects.select_related("state").filter(pk=pk).first()
    if found is None:
        return None
    now = timezone.now()
    probed = list(found.endpoints.select_related("service", "prober").order_by("purpose", "name"))
    (row,) = queries.service_rows(now, [found], probed) or (queries.service_row(found, now),)
    state = getattr(found, "state", None)
    return {
        "title": _("Service %(name)s") % {"name": found.name},
        "service": found,
        "row": row,
        "state": state,
        "health_output": state.health_output if state else "",
        "inspect": _flat(state.inspect) if state else [],
        "templates": list(found.templates.order_by("-count")[:TEMPLATES_MAX]),
        "matrix": matrix.build(probed, now),
        "incidents": _incidents_of(found.name),
        "changes": changes.of_service(found),
        "actions": acting.of_service(found),
        "targets": [acting.target(found)],
    }


def _incidents_of(name: str) -> list[IncidentRow]:
    return [row for row in queries.incidents() if name in row.services][:5]


def _flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested configuration as sorted lines; at most 40."""
    if not isinstance(value, dict):
        return [(prefix, _plain(value))] if prefix else []
    lines = [line for key in sorted(value) for line in _flat(value[key], f"{prefix}.{key}".lstrip("."))]
    return lines[:40]


def _plain(value: object) -> str:
    if value in (None, "", []):
        return "—"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value).removesuffix(".0")


def incident(number: int) -> Context | None:
    """Return one incident's page: about ten queries and the rendering of its report."""
    found = Incident.objects.select_related("lead").filter(number=number).first()
    if found is None:
        return None
    return {
        "title": f"INC-{found.number}",
        "incident": found,
        "row": queries.incident_row(found),
        "signals": list(found.signals.all()[:100]),
        "entries": _timeline(found),
        "receipts": messages.receipts(found),
        "evidence": [_evidence(item) for item in found.evidence.all()[:EVIDENCE_MAX]],
        "report": _report(found),
        "items": queries.checklist(found),
        "window": found.resolve_after_s,
        "actions": acting.of_incident(found),
        "targets": acting.targets(found),
        "gateway_slots": acting.slots(found),
    }


def _timeline(found: Incident) -> list[Entry]:
    events = TimelineEvent.objects.filter(incident=found).select_related("actor", "evidence")
    newest = list(events.order_by("-at", "-pk")[:TIMELINE_MAX])
    return [entry(event) for event in newest]


def latest_events() -> list[Entry]:
    """Return the newest timeline events of all incidents: one query."""
    events = TimelineEvent.objects.exclude(incident__fingerprint__startswith=EXERCISE)
    events = events.select_related("actor", "evidence", "incident")
    return [entry(event) for event in events.order_by("-at", "-pk")[:EVENTS_MAX]]


def _evidence(item: Evidence) -> Context:
    try:
        text = json.dumps(json.loads(zlib.decompress(item.payload)), ensure_ascii=False, indent=1)
    except (zlib.error, ValueError):
        text = _("unreadable")
    return {"item": item, "preview": text[:PREVIEW_CHARS], "cut": len(text) > PREVIEW_CHARS}


def _report(found: Incident) -> Context:
    from incidents import reports  # its renderer is heavy and only this page needs it

    if getattr(found, "report", None) is None:
        return {"html": None}
    language = "ko" if (get_language() or "ko").startswith("ko") else "en"
    html = reports.render(found, "summary", "html", language)
    # The renderer escapes every cell and sanitises Markdown before it returns HTML.
    return {"html": format_html("{}", mark_safe(html))}  # noqa: S308 - sanitised by the renderer
