"""How the rows of a document and the rows of the database correspond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from incidents.models import (
    AccessRow,
    CauseRow,
    CodeProblem,
    EmergencyCommand,
    ExtraSection,
    FixRow,
    LongTermItem,
    ProblemDetail,
    ProxyChange,
    ReportFile,
    StatusRow,
)
from incidents.models.report import Row as StoredRow
from incidents.reports import model


@dataclass(frozen=True, slots=True)
class Section:
    """One section: the document's attribute, both row types, and the columns they share."""

    name: str
    stored: type[StoredRow]
    plain: type[model.Row]
    columns: tuple[str, ...]

    def to_plain(self, row: StoredRow) -> model.Row:
        """Return a stored row as plain data."""
        values = {name: getattr(row, name) for name in self.columns}
        return self.plain(provenance=row.provenance, evidence=row.evidence_id, key=row.draft_key, **values)

    def values(self, row: model.Row) -> dict[str, Any]:
        """Return the content of a plain row."""
        return {name: getattr(row, name) for name in self.columns}


SECTIONS: tuple[Section, ...] = (
    Section("status", StatusRow, model.Status, ("service", "state", "cpu", "memory")),
    Section("problems", ProblemDetail, model.Problem, ("title", "body", "kind")),
    Section("access", AccessRow, model.Access, ("path", "result")),
    Section("causes", CauseRow, model.Cause, ("kind", "text")),
    Section("code_problems", CodeProblem, model.CodeProblem, ("problem", "current", "right")),
    Section("commands", EmergencyCommand, model.Command, ("comment", "command")),
    Section("fixes", FixRow, model.Fix, ("file", "change", "priority")),
    Section("proxies", ProxyChange, model.Proxy, ("title", "body")),
    Section("long_term", LongTermItem, model.LongTerm, ("text",)),
    Section("files", ReportFile, model.File, ("label", "path", "note")),
    Section("extras", ExtraSection, model.Extra, ("heading", "level", "body", "after")),
)

#: The slot of the layout whose "no data" a section's rows end.
SLOT_OF: Mapping[str, str] = {
    "status": "status",
    "code_problems": "code",
    "commands": "emergency",
    "fixes": "code_fixes",
    "proxies": "proxy",
    "long_term": "long_term",
    "files": "files",
}
