"""Context of the page of one incident."""

from __future__ import annotations

import json
import zlib
from datetime import date
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from incidents import duedates, duetexts
from incidents.models import ChecklistItem, Evidence, Incident, Severity, TimelineEvent
from incidents.related import Related, related
from portal.dashboard import acting, ledger, messages, options, queries, whatchanged
from portal.dashboard.data import ItemRow
from portal.dashboard.timeline import Entry, entry

Context = dict[str, Any]

SIGNALS_MAX = 100
TIMELINE_MAX = 300
EVIDENCE_MAX = 60
#: Characters of one piece of evidence shown on the page; the file has all of it.
PREVIEW_CHARS = 4000


def incident(number: int) -> Context | None:
    """Return one incident's page: at most twenty queries, in all languages of its report."""
    items = Prefetch("report__checklist", ChecklistItem.objects.select_related("owner"))
    joined = Incident.objects.select_related("lead", "merged_into", "split_from", "report")
    found = joined.prefetch_related(items).filter(number=number).first()
    if found is None:
        return None
    signals = list(found.signals.all()[:SIGNALS_MAX])
    firing = sum(signal.cleared_at is None for signal in signals)
    due = duedates.report_due(found)
    return {
        "title": f"INC-{found.number}",
        "incident": found,
        "row": queries.incident_row(found),
        "signals": signals,
        "moves": options.moves(found, firing),
        "severities": Severity.choices,
        "splittable": found.is_open and firing > 1,
        "clocks": ledger.of_incident(found, timezone.now()),
        "related": [_related(one) for one in related(found, signals)],
        "changed": whatchanged.before(found),
        "report_due": due,
        "report_late": _late(due),
        "entries": _timeline(found),
        "receipts": messages.receipts(found),
        "evidence": [_evidence(item) for item in found.evidence.all()[:EVIDENCE_MAX]],
        "report": _report(found),
        "items": _items(found),
        "window": found.resolve_after_s,
        "actions": acting.of_incident(found),
        "targets": acting.targets(found),
        "gateway_slots": acting.slots(found),
    }


def _timeline(found: Incident) -> list[Entry]:
    events = TimelineEvent.objects.filter(incident=found).select_related("actor", "evidence")
    newest = list(events.order_by("-at", "-pk")[:TIMELINE_MAX])
    return [entry(event) for event in newest]


def _evidence(item: Evidence) -> Context:
    try:
        text = json.dumps(json.loads(zlib.decompress(item.payload)), ensure_ascii=False, indent=1)
    except (zlib.error, ValueError):
        text = _("unreadable")
    return {"item": item, "preview": text[:PREVIEW_CHARS], "cut": len(text) > PREVIEW_CHARS}


def _report(found: Incident) -> Context:
    # The renderer is heavy and only this page needs it.
    from incidents.reports import export, html, renderer
    from incidents.reports.model import PERSON

    report = getattr(found, "report", None)
    if report is None:
        return {"html": None}
    language = "ko" if (get_language() or "ko").startswith("ko") else "en"
    document = export.document_for(report, language)
    body = html.fragment(renderer.render(document))
    return {
        # The renderer escapes every cell and sanitises Markdown before it returns HTML.
        "html": format_html("{}", mark_safe(body)),  # noqa: S308 - sanitised by the renderer
        "cause": document.root_cause,
        "cause_of_person": document.root_cause_row.provenance == PERSON,
    }


def _items(found: Incident) -> list[ItemRow]:
    report = getattr(found, "report", None)
    if report is None:
        return []
    today = timezone.localdate()
    return [queries.item_row(item, today) for item in report.checklist.all()[: queries.ITEMS_MAX]]


def _related(one: Related) -> Context:
    return {"incident": one.incident, "why": [ledger.why_word(why) for why in one.why]}


def _late(due: date | None) -> str:
    today = timezone.localdate()
    return duetexts.days_late(due, today) if due is not None and due < today else ""
