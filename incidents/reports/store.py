"""A document into the rows of a report and back. Unchanged rows keep their origin and their history."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.db import transaction

from incidents.models import ItemState, Provenance, Report
from incidents.models.report import Row as StoredRow
from incidents.reports.markdown import parse, render
from incidents.reports.model import Document, Item, Row
from incidents.reports.rows import SECTIONS, Section, stored_rows

#: States that print a ticked box.
TICKED = (ItemState.CLAIMED, ItemState.VERIFIED)


def load(report: Report) -> Document:
    """Return the report as a document: two queries, or one when its checklist was prefetched."""
    rows = stored_rows(report)
    sections: dict[str, Any] = {
        section.name: tuple(section.to_plain(row) for row in rows[section.name]) for section in SECTIONS
    }
    root = Row(provenance=report.root_cause_provenance, evidence=report.root_cause_evidence_id)
    items = tuple(
        Item(
            text=item.text,
            ticked=item.state in TICKED,
            priority=item.priority,
            verifier=item.verifier,
            target=item.target,
            key=item.draft_key,
        )
        for item in report.checklist.all()
    )
    return Document(
        title=report.title,
        language=report.language,
        analysed_at=report.analysed_at,
        root_cause=report.root_cause,
        root_cause_row=root,
        checklist=items,
        empty=tuple(report.empty_sections),
        headings=tuple(report.headings.items()),
        **sections,
    )


@transaction.atomic
def save_import(report: Report, document: Document, shown: Document) -> None:
    """Make the rows say what a person's ``document`` says; ``shown`` is the report in its language.

    A row that already says so keeps where it came from; what differs becomes a person's. The checklist
    is left to :mod:`incidents.reports.checklist_rows`.
    """
    wanted: dict[str, Any] = {
        "title": document.title[:200] or report.title,
        "empty_sections": list(document.empty),
    }
    if report.root_cause != document.root_cause and shown.root_cause != document.root_cause:
        wanted |= {"root_cause": document.root_cause, "root_cause_provenance": Provenance.PERSON}
    if report.language == document.language:
        wanted["headings"] = dict(document.headings)
    if any(getattr(report, name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            setattr(report, name, value)
        report.save()
    for section in SECTIONS:
        _sync(section, report, getattr(document, section.name), getattr(shown, section.name))


@transaction.atomic
def save_draft(report: Report, document: Document) -> None:
    """Take over a new draft: measured and inferred rows are renewed by key, a person's rows stay."""
    if not (report.root_cause and report.root_cause_provenance == Provenance.PERSON):
        report.root_cause = document.root_cause
        report.root_cause_provenance = document.root_cause_row.provenance
        report.root_cause_evidence_id = document.root_cause_row.evidence
    report.empty_sections = list(document.empty)
    report.save()
    for section in SECTIONS:
        _renew(section, report, getattr(document, section.name))


def settle_empty(report: Report, also: Sequence[str] = ()) -> None:
    """Save which slots print "no data": of those that did, and ``also``, the ones without a row now."""
    document = load(report)
    both = replace(document, empty=tuple(dict.fromkeys((*document.empty, *also))))
    report.empty_sections = list(parse(render(both)).document.empty)
    report.save()


def _existing(section: Section, report: Report) -> list[StoredRow]:
    return list(section.stored._default_manager.filter(report=report))


def _sync(section: Section, report: Report, wanted: Sequence[Row], shown: Sequence[Row]) -> None:
    stored = _existing(section, report)
    contents = {row.pk: [section.to_plain(row)] for row in stored}
    if len(shown) == len(stored):
        for row, translated in zip(stored, shown, strict=True):
            contents[row.pk].append(translated)
    saying: dict[Row, deque[StoredRow]] = {}
    for row in stored:
        for plain in contents[row.pk]:
            saying.setdefault(plain, deque()).append(row)
    taken: set[int] = set()
    matched: list[StoredRow | None] = []
    for plain in wanted:
        rows = saying.get(plain, deque())
        while rows and rows[0].pk in taken:
            rows.popleft()
        matched.append(rows[0] if rows else None)
        taken |= {rows[0].pk} if rows else set()
    free = [one for one in stored if one.pk not in taken]
    for order, (plain, known) in enumerate(zip(wanted, matched, strict=True)):
        if known is not None:
            _reorder(known, order)
            continue
        target = free.pop(0) if free else section.stored(report=report)
        write_row(section, target, plain, order, provenance=Provenance.PERSON, evidence=target.evidence_id)
    for surplus in free:
        surplus.delete()


def _renew(section: Section, report: Report, drafted: Sequence[Row]) -> None:
    stored = _existing(section, report)
    by_key = {row.draft_key: row for row in stored if row.draft_key}
    keys = {plain.key for plain in drafted}
    order = 0
    for plain in drafted:
        row = by_key.get(plain.key)
        if row is not None and row.provenance == Provenance.PERSON:
            _reorder(row, order)
        else:
            target = row or section.stored(report=report, draft_key=plain.key)
            write_row(section, target, plain, order, provenance=plain.provenance, evidence=plain.evidence)
        order += 1
    for row in stored:
        if row.draft_key in keys and row.draft_key:
            continue
        if row.provenance == Provenance.PERSON:
            _reorder(row, order)
            order += 1
        else:
            row.delete()


def write_row(
    section: Section, row: StoredRow, plain: Row, order: int, *, provenance: str, evidence: int | None
) -> None:
    """Make one stored row say what ``plain`` says; a row that says so already is only moved."""
    if row.pk and section.to_plain(row) == plain and row.evidence_id == evidence:
        _reorder(row, order)
        return
    for name, value in section.values(plain).items():
        setattr(row, name, value)
    row.order, row.provenance, row.evidence_id = order, provenance, evidence
    row.save()


def _reorder(row: StoredRow, order: int) -> None:
    if row.order != order:
        type(row)._default_manager.filter(pk=row.pk).update(order=order)
