"""Context of the page of one service, and the newest events for the front page."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from incidents.models import EXERCISE, TimelineEvent
from portal.dashboard import acting, changes, matrix, queries
from portal.dashboard.data import IncidentRow
from portal.dashboard.timeline import Entry, entry
from portal.monitoring.models import Service

Context = dict[str, Any]

TEMPLATES_MAX = 10
#: Timeline events on the front page.
EVENTS_MAX = 8


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


def latest_events() -> list[Entry]:
    """Return the newest timeline events of all incidents: one query."""
    events = TimelineEvent.objects.exclude(incident__fingerprint__startswith=EXERCISE)
    events = events.select_related("actor", "evidence", "incident")
    return [entry(event) for event in events.order_by("-at", "-pk")[:EVENTS_MAX]]
