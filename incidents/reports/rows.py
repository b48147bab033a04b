"""How the rows of a document and the rows of the database correspond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Value
from django.db.models.functions import JSONObject

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
    Report,
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

_BY_NAME = {section.name: section for section in SECTIONS}


def stored_rows(report: Report) -> dict[str, list[StoredRow]]:
    """Return the rows of every section of ``report`` in their order, by section: one query for all tables."""
    parts = []
    for section in SECTIONS:
        columns = {field.attname: field.attname for field in section.stored._meta.concrete_fields}
        rows = section.stored._default_manager.filter(report=report).order_by()
        rows = rows.annotate(section=Value(section.name), columns=JSONObject(**columns))
        parts.append(rows.values_list("section", "order", "pk", "columns"))
    found: dict[str, list[StoredRow]] = {section.name: [] for section in SECTIONS}
    union = parts[0].union(*parts[1:], all=True).order_by("order", "id")
    for name, _order, _pk, columns in union:
        fields = _BY_NAME[name].stored._meta.concrete_fields
        values = [field.to_python(columns[field.attname]) for field in fields]
        row = _BY_NAME[name].stored.from_db(union.db, [field.attname for field in fields], values)
        found[name].append(row)
    return found


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
