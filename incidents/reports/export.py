"""A report out of the database, as Markdown, HTML or JSON, in Korean or English."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from incidents.models import Incident, Report
from incidents.reports import appendix, store
from incidents.reports.draft import draft
from incidents.reports.drafting import facts_of
from incidents.reports.html import fragment, page
from incidents.reports.layout import ACCESS_TITLE, LANGUAGES, SUFFIX
from incidents.reports.markdown import render as render_markdown
from incidents.reports.model import PERSON, Document, Row
from incidents.reports.rows import SECTIONS

FORMATS = ("md", "html", "json")


class ReportMissing(Exception):
    """The incident has no report yet."""


def render(incident: Incident, kind: str, fmt: str, lang: str) -> str:
    """Return the report. ``kind`` is ``summary`` or ``detail``; HTML is a safe fragment for a page.

    Raises:
        ReportMissing: nothing was drafted or imported yet.
        ValueError: an unknown kind, format or language.
    """
    if kind not in SUFFIX or fmt not in FORMATS or lang not in LANGUAGES:
        raise ValueError(f"unknown kind, format or language: {kind} {fmt} {lang}")
    report = _report(incident)
    document = document_for(report, lang)
    extras = appendix.sections(incident, lang) if kind == "detail" else []
    if fmt == "json":
        return _json(incident, document, kind, extras)
    markdown = render_markdown(document, kind, extras)
    return markdown if fmt == "md" else fragment(markdown)


def render_page(incident: Incident, kind: str, lang: str) -> str:
    """Return the report as a whole HTML document that prints well.

    Raises:
        ReportMissing, ValueError: as :func:`render`.
    """
    return page(render(incident, kind, "md", lang), f"INC-{incident.number} {incident.title}", lang)


def file_name(incident: Incident, kind: str, fmt: str) -> str:
    """Return the stable name of an exported file: ``SLUG_summary_YYYYMMDD.md``.

    Raises:
        ReportMissing: nothing was drafted or imported yet.
    """
    part = "summary" if kind == "summary" else "root_cause"
    slug = incident.slug.replace("-", "_")
    return f"{slug}_{part}_{appendix.day(_report(incident).analysed_at)}.{fmt}"


def document_for(report: Report, language: str) -> Document:
    """Return the report in ``language``: drafted rows in its words, a person's rows as they wrote them."""
    document = store.load(report)
    if document.language == language:
        return document
    translated = draft(facts_of(report.incident, report.analysed_at), language)
    sections: dict[str, Any] = {
        section.name: _translate(getattr(document, section.name), getattr(translated, section.name))
        for section in SECTIONS
    }
    original = {
        row.key: row
        for row in draft(facts_of(report.incident, report.analysed_at), document.language).checklist
    }
    items = {row.key: row for row in translated.checklist}
    sections["problems"] = tuple(
        replace(row, title=ACCESS_TITLE[language])
        if row.kind == "access" and row.title in ACCESS_TITLE.values()
        else row
        for row in sections["problems"]
    )
    checklist = tuple(
        replace(item, text=items[item.key].text)
        if item.key in items and item.key in original and original[item.key].text == item.text
        else item
        for item in document.checklist
    )
    drafted = document.root_cause_row.provenance != PERSON and translated.root_cause
    return replace(
        document,
        language=language,
        root_cause=translated.root_cause if drafted else document.root_cause,
        checklist=checklist,
        headings=(),
        **sections,
    )


def _translate(rows: Sequence[Row], translated: Sequence[Row]) -> tuple[Row, ...]:
    by_key = {row.key: row for row in translated if row.key}
    return tuple(by_key.get(row.key, row) if row.provenance != PERSON else row for row in rows)


def _report(incident: Incident) -> Report:
    report = Report.objects.select_related("incident").filter(incident=incident).first()
    if report is None:
        raise ReportMissing(f"INC-{incident.number} has no report yet.")
    return report


def _json(incident: Incident, document: Document, kind: str, extras: Sequence[Row]) -> str:
    data: dict[str, Any] = {
        "incident": {
            "number": incident.number,
            "title": incident.title,
            "state": incident.state,
            "severity": incident.severity,
            "services": incident.services,
            "opened_at": incident.opened_at,
            "resolved_at": incident.resolved_at,
        },
        "kind": kind,
        "report": asdict(document),
    }
    if kind == "detail":
        data["signals"] = list(
            incident.signals.values("key", "title", "severity", "detail", "opened_at", "cleared_at")
        )
        data["timeline"] = list(incident.timeline.values("at", "kind", "text", "data", "evidence_id"))
        data["evidence"] = list(
            incident.evidence.values(
                "id", "kind", "subject", "captured_at", "size", "sha256", "partial", "note"
            )
        )
        data["appendix"] = [asdict(extra) for extra in extras]
    return json.dumps(data, ensure_ascii=False, indent=2, default=_plain) + "\n"


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
