"""A new draft beside the report: a person accepts it row by row, and no person's text is ever replaced."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from incidents.errors import ReportChanged
from incidents.models import Provenance, Report, TimelineKind, VersionKind
from incidents.reports import checklist_rows, store, versions
from incidents.reports.candidates import Kind as CauseKind
from incidents.reports.candidates import rank
from incidents.reports.differences import Change, Kind, Line, compare
from incidents.reports.draft import draft
from incidents.reports.draft_causes import root_cause
from incidents.reports.drafting import facts_of
from incidents.reports.fix_table import suggestions
from incidents.reports.model import Document, Item
from incidents.reports.rows import SECTIONS, Section
from incidents.reports.words import Words
from incidents.services import record

_BY_NAME = {section.name: section for section in SECTIONS}


@dataclass(frozen=True, slots=True)
class Proposals:
    """What a new draft would change: rows to choose from, and rows that are a person's and stay."""

    offered: tuple[Change, ...]
    kept: tuple[Change, ...]


def proposals(report: Report) -> Proposals:
    """Return how a draft from the newest evidence differs from the report, in the report's language."""
    return _compare(store.load(report), _drafted(report))


def accept(
    *, report: Report, tokens: Collection[str], actor: AbstractBaseUser | None, at: datetime
) -> list[Change]:
    """Take the chosen differences over; returns them.

    Raises:
        ReportLocked: the report was signed off.
        ReportChanged: a chosen difference is no longer the one that the person saw; nothing was changed.
    """
    told = versions.Told()
    with versions.edit(report, kind=VersionKind.ACCEPTED, at=at, actor=actor, told=told) as held:
        current, drafted = store.load(held), _drafted(held)
        offered = {change.token: change for change in _compare(current, drafted).offered}
        if stale := [token for token in tokens if token not in offered]:
            raise ReportChanged(
                _("%(n)d of the chosen rows changed meanwhile, so nothing was taken over. Look again.")
                % {"n": len(stale)}
            )
        chosen = [change for token, change in offered.items() if token in tokens]
        for change in chosen:
            _apply(held, change)
        items = [change.new for change in chosen if isinstance(change.new, Item)]
        checklist_rows.sync_draft(held, items, timezone.localdate(at))
        held.drafted_at = at
        store.settle_empty(held, drafted.empty)
        if chosen:
            for change in chosen:
                told.before.setdefault(change.section, []).extend(old for _name, old, _new in change.cells())
                told.after.setdefault(change.section, []).extend(new for _name, _old, new in change.cells())
            record(
                incident=held.incident,
                kind=TimelineKind.DRAFTED,
                at=at,
                actor=actor,
                root_cause=held.root_cause,
            )
    return chosen


def take_cause(
    *, report: Report, kind: CauseKind, actor: AbstractBaseUser | None, at: datetime, seen: int | None = None
) -> str:
    """Make a candidate the root cause in one line and return it; from now on the line is the person's.

    Raises:
        ReportLocked, ReportChanged: see :func:`incidents.reports.versions.edit`; also when the evidence no
            longer shows this candidate.
    """
    told = versions.Told()
    with versions.edit(report, kind=VersionKind.CAUSE, at=at, actor=actor, seen=seen, told=told) as held:
        facts, words = facts_of(held.incident, held.analysed_at), Words(held.language)
        candidate = next((one for one in rank(facts) if one.kind is kind), None)
        if candidate is None:
            raise ReportChanged(_("The evidence no longer shows this cause. Look again."))
        told.before["root_cause"] = held.root_cause
        told.after["root_cause"] = held.root_cause = root_cause(facts, words, candidate)
        held.root_cause_provenance = Provenance.PERSON
        held.root_cause_evidence_id = candidate.evidence
        held.empty_sections = [slot for slot in held.empty_sections if slot != "root_cause"]
        held.save()
        return held.root_cause


def add_fixes(
    *, report: Report, kind: CauseKind, actor: AbstractBaseUser | None, at: datetime, seen: int | None = None
) -> int:
    """Append the changes that a cause asks for to the fix table; returns how many were not there.

    Raises:
        ReportLocked, ReportChanged: see :func:`incidents.reports.versions.edit`.
    """
    section = _BY_NAME["fixes"]
    with versions.edit(report, kind=VersionKind.EDITED, at=at, actor=actor, seen=seen) as held:
        facts, words = facts_of(held.incident, held.analysed_at), Words(held.language)
        there = set(section.stored._default_manager.filter(report=held).values_list("draft_key", flat=True))
        missing = [fix for fix in suggestions(kind, facts, words) if fix.key not in there]
        for fix in missing:
            _apply(held, Change("fixes", Kind.NEW, None, fix))
        if missing:
            held.empty_sections = [slot for slot in held.empty_sections if slot != "code_fixes"]
            held.save()
        return len(missing)


def _drafted(report: Report) -> Document:
    return draft(facts_of(report.incident, report.analysed_at), report.language)


def _compare(current: Document, drafted: Document) -> Proposals:
    offered, kept = [], []
    known = {item.key for item in current.checklist}
    for change in compare(current, drafted):
        if change.section in ("title", "extras"):
            continue
        if change.section == "checklist":
            # What is on the list is claimed, verified or waived there; a draft only adds to it.
            if change.kind is Kind.NEW and change.row.key not in known:
                offered.append(change)
        elif not change.of_person:
            offered.append(change)
        elif change.kind is Kind.CHANGED:
            kept.append(change)
    return Proposals(tuple(offered), tuple(kept))


def _apply(report: Report, change: Change) -> None:
    if change.section == "root_cause":
        line = change.new if isinstance(change.new, Line) else Line(text="")
        report.root_cause = line.text
        report.root_cause_provenance = Provenance.INFERRED
        report.root_cause_evidence_id = line.evidence
    elif change.section in _BY_NAME:
        _apply_row(_BY_NAME[change.section], report, change)


def _apply_row(section: Section, report: Report, change: Change) -> None:
    rows = section.stored._default_manager.filter(report=report)
    old = None
    if change.old is not None:
        found = rows.filter(draft_key=change.old.key) if change.old.key else rows
        old = next((row for row in found if section.to_plain(row) == change.old), None)
    if change.new is None:
        if old is not None:
            old.delete()
        return
    last = rows.aggregate(last=Max("order"))["last"]
    order = old.order if old else 0 if last is None else last + 1
    target = old or section.stored(report=report, draft_key=change.new.key)
    new = change.new
    store.write_row(section, target, new, order, provenance=new.provenance, evidence=new.evidence)
