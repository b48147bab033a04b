"""Walks the audit's chain from its first entry to its end and says what is wrong first. Bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _

from incidents import audit_anchor
from incidents.audit_anchor import Anchor, AnchorDamaged
from incidents.audit_seal import START, code, genuine
from incidents.models import AuditEntry, AuditHead

#: Entries held in memory at once.
PAGE = 500
#: Entries removed in a row whose followers were numbered anew, at most, that are still told as removed.
SHIFTS = 50


class Fault(StrEnum):
    """What happened to an entry."""

    CHANGED = "changed"
    INSERTED = "inserted"
    REMOVED = "removed"
    TRUNCATED = "truncated"
    #: Signed with a key that is not listed.
    UNKNOWN_KEY = "unknown_key"
    #: The file outside the database is missing or damaged, so the end cannot be checked.
    NO_ANCHOR = "no_anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The first thing that is wrong: ``seq`` is the entry's number."""

    fault: Fault
    seq: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How many entries were read, up to which, and the first fault, None when all is well."""

    entries: int
    last: int
    finding: Finding | None


def verify(*, progress: Callable[[int], None] = lambda _count: None) -> Verdict:
    """Read every entry once. Entries written meanwhile are no fault.

    ``progress`` is called with the count after each page. Memory is that of :data:`PAGE` entries.
    """
    head = AuditHead.objects.filter(pk=1).first()
    end = Anchor(head.seq, head.mac) if head else Anchor(0, "")
    try:
        outside, damage = audit_anchor.read(), ""
    except AnchorDamaged as error:
        outside, damage = None, str(error)
    last, count = Anchor(0, START), 0
    seen: dict[int, str] = {}
    marks = {end.seq} | ({outside.seq} if outside else set())
    for entry, after in _with_next(_entries(progress)):
        if entry.seq != last.seq + 1 and (pruned := _pruned(entry, last)) is not None:
            last = pruned
        if (found := _fault(entry, after, last)) is not None:
            return Verdict(entries=count, last=last.seq, finding=found)
        last, count = Anchor(entry.seq, entry.mac), count + 1
        if entry.seq in marks:
            seen[entry.seq] = entry.mac
    finding = _end_fault(last, end, outside, seen, damage)
    return Verdict(entries=count, last=last.seq, finding=finding)


def _entries(progress: Callable[[int], None]) -> Iterator[AuditEntry]:
    """Yield the entries in order, a page at a time: no cursor stays open while others write."""
    after = -1
    count = 0
    while page := list(AuditEntry.objects.filter(seq__gt=after).order_by("seq")[:PAGE]):
        yield from page
        after = page[-1].seq
        count += len(page)
        progress(count)


def _with_next(entries: Iterator[AuditEntry]) -> Iterator[tuple[AuditEntry, AuditEntry | None]]:
    before: AuditEntry | None = None
    for entry in entries:
        if before is not None:
            yield before, entry
        before = entry
    if before is not None:
        yield before, None


def _pruned(entry: AuditEntry, last: Anchor) -> Anchor | None:
    """Return what ``entry`` is chained to when the gap before it is what pruning left.

    The claim is an entry itself and is checked when the walk comes to it.
    """
    claim = audit_anchor.checkpoint()
    return claim if claim is not None and last.seq < claim.seq == entry.seq - 1 else None


def _fault(entry: AuditEntry, after: AuditEntry | None, last: Anchor) -> Finding | None:
    """Return what is wrong with ``entry``, which follows ``last``."""
    seq, expected = entry.seq, last.seq + 1
    if seq != expected:
        text = _("entries %(first)d to %(last)d are missing") % {"first": expected, "last": seq - 1}
        return Finding(fault=Fault.REMOVED, seq=expected, detail=text)
    if genuine(entry):
        if entry.previous == last.mac:
            return None
        text = _("it follows another entry than the one that stands before it")
        return Finding(fault=Fault.CHANGED, seq=seq, detail=text)
    if after is not None and after.previous == last.mac:
        text = _("the entry after it follows the one before it")
        return Finding(fault=Fault.INSERTED, seq=seq, detail=text)
    if any(genuine(entry, seq=seq + shift) for shift in range(1, SHIFTS + 1)):
        text = _("it was removed, and what follows was numbered anew")
        return Finding(fault=Fault.REMOVED, seq=seq, detail=text)
    if code(entry) is None:
        text = _("its key is not listed in AUDIT_KEY; put the old key back at the end of the list")
        return Finding(fault=Fault.UNKNOWN_KEY, seq=seq, detail=text)
    head = AuditHead.objects.filter(pk=1).values_list("seq", flat=True).first() or 0
    if after is None and seq > head:
        return Finding(fault=Fault.INSERTED, seq=seq, detail=_("it was added at the end without the key"))
    return Finding(fault=Fault.CHANGED, seq=seq, detail=_("its code does not match its content"))


def _end_fault(
    last: Anchor, end: Anchor, outside: Anchor | None, seen: dict[int, str], damage: str
) -> Finding | None:
    """Return what is wrong with the end of the chain, each of whose entries is genuine."""
    if end.seq > last.seq:
        text = _("the database says that the last entry is number %(n)d") % {"n": end.seq}
        return Finding(fault=Fault.TRUNCATED, seq=last.seq + 1, detail=text)
    if end.seq and end.seq in seen and seen[end.seq] != end.mac:
        text = _("the database remembers another entry under this number")
        return Finding(fault=Fault.CHANGED, seq=end.seq, detail=text)
    if outside is None:
        if not last.seq and not damage:
            return None
        text = damage or _("the file %(path)s is missing") % {"path": audit_anchor.path()}
        return Finding(fault=Fault.NO_ANCHOR, seq=last.seq, detail=text)
    if outside.seq > last.seq:
        text = _("the file outside the database knows entry %(n)d: it was cut, or an older copy was put back")
        return Finding(fault=Fault.TRUNCATED, seq=last.seq + 1, detail=text % {"n": outside.seq})
    if outside.seq in seen and seen[outside.seq] != outside.mac:
        text = _(
            "the file outside the database knows another entry: an older copy was put back and written on"
        )
        return Finding(fault=Fault.TRUNCATED, seq=outside.seq, detail=text)
    return None
