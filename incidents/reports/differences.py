"""What differs between two documents, row by row. Knows no database.

Rows belong together by their draft key, then by equal content, then by their first column; order alone is
no difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

from incidents.reports.model import PERSON, Document, Row

#: Sections in the order of the layout with the columns that are shown and compared.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "status": ("service", "state", "cpu", "memory"),
    "problems": ("title", "body"),
    "access": ("path", "result"),
    "causes": ("text", "kind"),
    "code_problems": ("problem", "current", "right"),
    "commands": ("comment", "command"),
    "fixes": ("change", "file", "priority"),
    "proxies": ("title", "body"),
    "long_term": ("text",),
    "files": ("path", "label", "note"),
    "checklist": ("text", "ticked"),
    "extras": ("heading", "body"),
}


class Kind(StrEnum):
    """What happened to a row."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs. ``old`` or ``new`` is None where it is not there."""

    section: str
    kind: Kind
    old: Row | None
    new: Row | None

    @property
    def row(self) -> Row:
        """The row as it is now, or was."""
        return self.new or self.old or Row()

    @property
    def of_person(self) -> bool:
        """Whether the old row is a person's."""
        return self.old is not None and self.old.provenance == PERSON

    @property
    def token(self) -> str:
        """Name of exactly this difference: another old or new content has another."""
        parts = [self.section, self.kind.value, self.row.key, *map(_plain, (self.old, self.new))]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]

    def cells(self) -> list[tuple[str, str, str]]:
        """Return (column, old text, new text) of the columns that differ, all of them for a whole row."""
        columns = COLUMNS.get(self.section, ("text",))
        pairs = [(name, _text(self.old, name), _text(self.new, name)) for name in columns]
        return [one for one in pairs if one[1] != one[2]] if self.kind is Kind.CHANGED else pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Row):
    """The title or the root cause, which are no rows of a section."""

    text: str


def compare(old: Document, new: Document) -> list[Change]:
    """Return every difference in the order of the layout."""
    found = list(_lines(old, new))
    for section in COLUMNS:
        found += _rows(section, getattr(old, section), getattr(new, section))
    return found


def _lines(old: Document, new: Document) -> Iterator[Change]:
    pairs = (
        ("title", Line(text=old.title), Line(text=new.title)),
        (
            "root_cause",
            _root(old),
            _root(new),
        ),
    )
    for section, before, after in pairs:
        if before.text == after.text:
            continue
        kind = Kind.NEW if not before.text else Kind.GONE if not after.text else Kind.CHANGED
        yield Change(section, kind, before if before.text else None, after if after.text else None)


def _root(document: Document) -> Line:
    row = document.root_cause_row
    return Line(text=document.root_cause, provenance=row.provenance, evidence=row.evidence, key="root_cause")


def _rows(section: str, old: Sequence[Row], new: Sequence[Row]) -> Iterator[Change]:
    first = COLUMNS[section][0]
    tests: tuple[Callable[[Row, Row], bool], ...] = (
        lambda one, other: bool(one.key) and one.key == other.key,
        lambda one, other: one == other,
        lambda one, other: _text(one, first) == _text(other, first),
    )
    left, before = list(range(len(old))), dict[int, int]()
    for same in tests:
        for place, row in enumerate(new):
            match = next((at for at in left if place not in before and same(old[at], row)), None)
            if match is not None:
                left.remove(match)
                before[place] = match
    for place, row in enumerate(new):
        if place not in before:
            yield Change(section, Kind.NEW, None, row)
        elif old[before[place]] != row:
            yield Change(section, Kind.CHANGED, old[before[place]], row)
    for at in left:
        yield Change(section, Kind.GONE, old[at], None)


def _text(row: Row | None, column: str) -> str:
    value = getattr(row, column, "")
    return ("☑" if value else "☐") if isinstance(value, bool) else str(value)


def _plain(row: Row | None) -> list[str]:
    if row is None:
        return []
    return [f"{one.name}={getattr(row, one.name)}" for one in fields(row) if one.compare] + [row.provenance]
