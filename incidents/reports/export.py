"""A report out of the database, as Markdown, HTML or JSON, in Korean or English."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from html import escape
from typing import Any

from django.utils import translation

from incidents.models import Evidence, Incident, Report
from incidents.reports import appendix, origins, store
from incidents.reports.draft import draft
from incidents.reports.drafting import facts_since
from incidents.reports.facts import Facts
from incidents.reports.html import fragment, page
from incidents.reports.layout import ACCESS_TITLE, KST, LANGUAGES, SUFFIX
from incidents.reports.markdown import render as render_markdown
from incidents.reports.model import PERSON, Document, Extra, Item, Row
from incidents.reports.rows import SECTIONS
from incidents.reports.words import Words

FORMATS = ("md", "html", "json")


class ReportMissing(Exception):
    """The incident has no report yet."""


def render(incident: Incident, kind: str, fmt: str, lang: str, *, report: Report | None = None) -> str:
    """Return the report. ``kind`` is ``summary`` or ``detail``; HTML is a safe fragment for a page.

    ``report`` is that of ``incident``, for a caller that has it already.

    Raises:
        ReportMissing: nothing was drafted or imported yet.
        ValueError: an unknown kind, format or language.
    """
    if kind not in SUFFIX or fmt not in FORMATS or lang not in LANGUAGES:
        raise ValueError(f"unknown kind, format or language: {kind} {fmt} {lang}")
    document = document_for(report or _report(incident), lang)
    extras = appendix.sections(incident, lang) if kind == "detail" else []
    if fmt == "json":
        return _json(incident, document, kind, extras)
    markdown = render_markdown(document, kind, extras)
    return markdown if fmt == "md" else fragment(markdown)


def render_page(incident: Incident, kind: str, lang: str) -> str:
    """Return the report as a whole HTML document that prints well and names the origin of each cell.

    Raises:
        ReportMissing, ValueError: as :func:`render`.
    """
    if kind not in SUFFIX or lang not in LANGUAGES:
        raise ValueError(f"unknown kind or language: {kind} {lang}")
    extras = appendix.sections(incident, lang) if kind == "detail" else []
    body = with_origins(incident, kind, lang, lambda pk: f"#E{pk}", extras)
    listed = sources_list(incident, lang, body)
    return page(body + listed, f"INC-{incident.number} {incident.title}", lang)


def with_origins(
    incident: Incident,
    kind: str,
    lang: str,
    href: Callable[[int], str],
    extras: Sequence[Extra] = (),
    *,
    document: Document | None = None,
) -> str:
    """Return the report as safe HTML in which every cell says where it comes from, with the legend.

    ``href`` gives the address of a piece of evidence by its primary key. ``document`` is the report in
    ``lang``, for a caller that has it already.

    Raises:
        ReportMissing: nothing was drafted or imported yet.
    """
    document = document or document_for(_report(incident), lang)
    words = Words(lang)
    markdown = render_markdown(origins.mark(document), kind, origins.bare_extras(extras))
    sources = {row.pk: _source(row, href(row.pk), lang) for row in _evidence(incident)}
    return origins.legend(words) + origins.unmark(fragment(markdown), words, sources)


def sources_list(incident: Incident, lang: str, body: str) -> str:
    """Return the evidence that the tags of ``body`` link to, as HTML with an anchor each."""
    cited = {int(found) for found in re.findall(r'href="#E(\d+)"', body)}
    rows = [(row.pk, _source(row, "", lang)) for row in _evidence(incident) if row.pk in cited]
    items = "".join(f'<li id="E{pk}"><b>{escape(row.label)}</b> {escape(row.title)}</li>' for pk, row in rows)
    heading = Words(lang)("출처", "Sources")
    return f'<section class="p-sources"><h2>{heading}</h2><ul>{items}</ul></section>' if items else ""


def _evidence(incident: Incident) -> list[Evidence]:
    return list(incident.evidence.defer("payload"))


def _source(row: Evidence, href: str, lang: str) -> origins.Source:
    with translation.override(lang):
        what = f"{row.get_kind_display()} {row.subject}".strip()
    at = row.captured_at.astimezone(KST).strftime("%Y-%m-%d %H:%M:%S KST")
    return origins.Source(f"E{row.pk}", f"{what}, {at}, SHA-256 {row.sha256[:12]}…", href)


def file_name(incident: Incident, kind: str, fmt: str) -> str:
    """Return the stable name of an exported file: ``SLUG_summary_YYYYMMDD.md``.

    Raises:
        ReportMissing: nothing was drafted or imported yet.
    """
    part = "summary" if kind == "summary" else "root_cause"
    slug = incident.slug.replace("-", "_")
    return f"{slug}_{part}_{appendix.day(_report(incident).analysed_at)}.{fmt}"


def document_for(
    report: Report,
    language: str,
    *,
    document: Document | None = None,
    facts: Sequence[Facts] | None = None,
) -> Document:
    """Return the report in ``language``: drafted rows in its words, a person's rows as they wrote them.

    A row is translated from the freeze that it was drafted from, so that both languages say the same numbers;
    one that no freeze explains stays as it is. ``document`` is the report as it is stored, and ``facts`` what
    :func:`incidents.reports.drafting.facts_since` says, for a caller that has them already.
    """
    document = document or store.load(report)
    if document.language == language:
        return document
    freezes = facts_since(report.incident, report.analysed_at) if facts is None else facts
    pairs = [(draft(one, document.language), draft(one, language)) for one in freezes]
    sections: dict[str, Any] = {
        section.name: tuple(
            _translated(
                row, [(getattr(own, section.name), getattr(other, section.name)) for own, other in pairs]
            )
            for row in getattr(document, section.name)
        )
        for section in SECTIONS
    }
    sections["problems"] = tuple(
        replace(row, title=ACCESS_TITLE[language])
        if row.kind == "access" and row.title in ACCESS_TITLE.values()
        else row
        for row in sections["problems"]
    )
    lines = {own.root_cause: other.root_cause for own, other in reversed(pairs)}
    drafted = document.root_cause_row.provenance != PERSON
    return replace(
        document,
        language=language,
        root_cause=lines.get(document.root_cause, document.root_cause) if drafted else document.root_cause,
        checklist=tuple(_item(item, pairs) for item in document.checklist),
        headings=(),
        **sections,
    )


def _translated(row: Row, drafts: Sequence[tuple[Sequence[Row], Sequence[Row]]]) -> Row:
    if row.provenance == PERSON or not row.key:
        return row
    for own, other in drafts:
        if any(one.key == row.key and one == row for one in own):
            return next((one for one in other if one.key == row.key), row)
    return row


def _item(item: Item, pairs: Sequence[tuple[Document, Document]]) -> Item:
    for own, other in pairs:
        if item.key and any(one.key == item.key and one.text == item.text for one in own.checklist):
            text = next((one.text for one in other.checklist if one.key == item.key), item.text)
            return replace(item, text=text)
    return item


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
