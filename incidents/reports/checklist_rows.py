"""Checklist lines of a document into items: new ones get a priority, a due date and their verifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from django.db import transaction

from incidents import registry
from incidents.checklist import due_for, verifier_for
from incidents.models import ChecklistItem, ItemState, Report
from incidents.reports.layout import squeeze
from incidents.reports.model import Document, Item


@transaction.atomic
def sync_import(report: Report, document: Document, shown: Document, today: date) -> None:
    """Make the items say what ``document`` says.

    A tick claims an open item and its removal withdraws a claim; what a verifier found stays. An item
    that the document no longer has is deleted only while it is open and was never checked.
    """
    stored = list(report.checklist.all())
    words = {item.pk: {item.text} for item in stored}
    if len(shown.checklist) == len(stored):
        for item, translated in zip(stored, shown.checklist, strict=True):
            words[item.pk].add(translated.text)
    target = next(iter(report.incident.services), "")
    fixes = [(_words(fix.change), fix.priority) for fix in document.fixes]
    for order, line in enumerate(document.checklist):
        known = next((one for one in stored if line.text in words[one.pk]), None)
        if known is None:
            _create(report, line, order, priority=_priority(line, fixes), target=target, today=today)
            continue
        stored.remove(known)
        state = _ticked(known.state, line.ticked)
        if state != known.state or order != known.order:
            known.state, known.order = state, order
            known.save()
    for order, item in enumerate(stored, len(document.checklist)):
        if item.state == ItemState.OPEN and not item.runs.exists():
            item.delete()
        elif item.order != order:
            item.order = order
            item.save()


@transaction.atomic
def sync_draft(report: Report, drafted: Sequence[Item], today: date) -> None:
    """Add the drafted items whose key is not there yet; what is there is left alone."""
    known = set(report.checklist.values_list("draft_key", flat=True))
    start = report.checklist.count()
    for order, line in enumerate(line for line in drafted if line.key not in known):
        _create(report, line, start + order, priority=line.priority, target=line.target, today=today)


def _create(
    report: Report, line: Item, order: int, *, priority: str, target: str, today: date
) -> ChecklistItem:
    verifier = registry.verifiers().get(line.verifier) or verifier_for(line.text)
    return ChecklistItem.objects.create(
        report=report,
        order=order,
        text=line.text,
        draft_key=line.key,
        priority=priority,
        due=due_for(priority, today),
        state=_ticked(ItemState.OPEN, line.ticked),
        verifier=verifier.name if verifier else "",
        parameters=dict(verifier.defaults) if verifier else {},
        target=target if verifier else "",
    )


def _ticked(state: str, ticked: bool) -> str:
    if ticked and state in (ItemState.OPEN, ItemState.FAILING, ItemState.STALE):
        return ItemState.CLAIMED
    return ItemState.OPEN if not ticked and state == ItemState.CLAIMED else state


def _priority(line: Item, fixes: Iterable[tuple[Sequence[str], str]]) -> str:
    """Return the priority of the code fix whose every word the line holds, else the line's own."""
    text = squeeze(line.text)
    found = [priority for words, priority in fixes if words and all(word in text for word in words)]
    return min(found, default=line.priority)


def _words(change: str) -> list[str]:
    return [squeeze(word) for word in change.split()]
