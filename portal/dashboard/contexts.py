"""Context of each live page by its key (``dashboard``, ``service:7``, ``incident:3``), and its panels.

The page's first rendering and its live updates use the same context, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from gateway.status import Attempt, Gap, GatewayStatus
from incidents.models import ItemState
from portal.dashboard import alerts, collector, detail, feed, feed_wording, incident, messages, queries, watch
from portal.dashboard.data import Dashboard, GatewayPanel, Level
from portal.dashboard.rates import row_rate

Context = dict[str, Any]

#: Panels of each kind of page: the names in its ``data-panel`` attributes, each a template of its own.
PANELS: dict[str, tuple[str, ...]] = {
    "dashboard": ("overall", "services", "events", "incidents", "gateway", "prevention"),
    "services": ("services", "collector"),
    "service": ("service_head", "service_actions", "service_probes", "service_logs", "service_changes"),
    "incidents": ("incident_list",),
    "incident": (
        "incident_head",
        "incident_related",
        "incident_changes",
        "incident_actions",
        "incident_signals",
        "incident_messages",
        "incident_timeline",
        "incident_evidence",
        "incident_report",
        "incident_checklist",
    ),
    "checklist": ("checklist",),
    "messages": ("message_list",),
    "alerts": ("alert_list",),
    "watch": ("watch_parts", "watch_tests", "watch_tables"),
    "operations": ("feed_upstream", "feed_connections", "feed_topics", "feed_closes", "feed_audit"),
}


def build(key: str) -> Context | None:
    """Return the context of the page ``key``; None when there is no such page or row."""
    kind, _separator, ident = key.partition(":")
    if kind not in PANELS or bool(ident) != (kind in ("service", "incident")):
        return None
    if ident and not (ident.isascii() and ident.isdigit() and len(ident) < 10):
        return None
    if kind == "service":
        return detail.service(int(ident))
    if kind == "incident":
        return incident.incident(int(ident))
    builders: dict[str, Callable[[], Context]] = {
        "dashboard": _dashboard,
        "services": _services,
        "incidents": lambda: {"title": _("Incidents"), "rows": queries.incidents()},
        "operations": _operations,
        "alerts": alerts.context,
        "watch": watch.context,
        "checklist": lambda: {"title": _("Prevention checklist"), "items": queries.checklist()},
        "messages": messages.outbox,
    }
    return builders[kind]()


def render_panels(key: str, language: str) -> dict[str, str] | None:
    """Return the panels of ``key`` as HTML in ``language``; None when there is no such page."""
    with translation.override(language):
        context = build(key)
        if context is None:
            return None
        names = PANELS[key.partition(":")[0]]
        return {name: render_to_string(f"portal/panels/{name}.html", context) for name in names}


def _dashboard() -> Context:
    view = queries.dashboard()
    return {
        "title": _("Dashboard"),
        "view": view,
        **_hero(view),
        **_gateway(view.gateway),
        "events": detail.latest_events(),
    }


def _services() -> Context:
    now = timezone.now()
    return {
        "title": _("Services"),
        "view": {"services": queries.service_rows(now), "now": now},
        "collector": collector.costs(),
    }


def _hero(view: Dashboard) -> Context:
    counts = [(level, view.count(level)) for level in Level]
    labels = [(str(state.label), view.checklist.get(state.value, 0)) for state in ItemState]
    return {
        "counts": [(level, count) for level, count in counts if count],
        "checklist_counts": [(label, count) for label, count in labels if count],
    }


def _operations() -> Context:
    view = feed.read_view()
    attempts, gaps = view.attempts or {}, view.gaps or {}
    return {
        "title": _("Feed operations"),
        "feed": view,
        "slots": [
            slot
            | {
                "attempts": [_attempt(one) for one in attempts.get(slot["name"], ())],
                "gaps": [_gap(one) for one in gaps.get(slot["name"], ())],
            }
            for slot in _slots(view.slots, view.statuses)
        ],
        "connections": [
            {"row": one, "since": datetime.fromtimestamp(one.since, UTC)} for one in view.load.connections
        ],
        "load_at": datetime.fromtimestamp(view.load.at, UTC) if view.load.at else None,
        "closes": [(code, count, feed_wording.close_word(code)) for code, count in view.closes],
        "limits": [(one, feed_wording.limit_word(one.field)) for one in feed.limits(settings.GATEWAY_FEED)],
        "disconnections": feed.recent_disconnections(),
    }


def _attempt(one: Attempt) -> Context:
    return {
        "attempt": one,
        "at": datetime.fromtimestamp(one.at, UTC),
        "word": feed_wording.outcome_word(one.outcome),
    }


def _gap(one: Gap) -> Context:
    return {
        "gap": one,
        "since": datetime.fromtimestamp(one.since, UTC),
        "lasted": one.until - one.since,
        "word": feed_wording.gap_word(one.reason),
    }


def _gateway(panel: GatewayPanel) -> Context:
    times = [status.at for status in panel.statuses]
    return {
        "gateway_slots": _slots(panel.slots, panel.statuses),
        "gateway_at": datetime.fromtimestamp(min(times), UTC) if times else None,
    }


def _slots(names: Sequence[str], found: Sequence[GatewayStatus]) -> list[Context]:
    statuses = {status.slot: status for status in found}
    slots = []
    for name in names:
        status = statuses.get(name)
        waiting = status is not None and status.next_retry_s is not None
        slots.append(
            {
                "name": name,
                "status": status,
                "since": datetime.fromtimestamp(status.since, UTC) if status else None,
                "reported_at": datetime.fromtimestamp(status.at, UTC) if status else None,
                "retry_at": round(status.at + (status.next_retry_s or 0.0), 1)
                if status and waiting
                else None,
                "rows_per_s": row_rate(status) if status else None,
            }
        )
    return slots
