"""Words of a report's sections, columns and differences, taken from the models' own names."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from incidents.models import ChecklistItem, Provenance, Report
from incidents.reports.differences import COLUMNS, Change, Kind
from incidents.reports.rows import SECTIONS

#: Characters of a row's name.
NAME_MAX = 120
_STORED = {section.name: section.stored for section in SECTIONS}


def _field(section: str, name: str) -> Any:
    """Return the column that keeps ``name`` of a section."""
    model = Report if section in ("root_cause", "title") else _STORED.get(section, ChecklistItem)
    return model._meta.get_field(name)


def section_word(name: str) -> str:
    """Return a section's name."""
    if name in ("root_cause", "title"):
        return str(_field(name, name).verbose_name)
    model = _STORED.get(name, ChecklistItem)
    return str(model._meta.verbose_name_plural)


def column_word(section: str, column: str) -> str:
    """Return a column's name; empty for a line that has only one."""
    if section in ("root_cause", "title"):
        return ""
    if column == "ticked":
        return _("done")
    return str(_field(section, column).verbose_name)


def change_view(change: Change) -> dict[str, Any]:
    """Return one difference as the pages show it."""
    row = change.row
    return {
        "token": change.token,
        "section": section_word(change.section),
        "name": _name(change),
        "kind": change.kind.value,
        "word": {Kind.NEW: _("New"), Kind.CHANGED: _("Changed"), Kind.GONE: _("Gone")}[change.kind],
        "icon": {Kind.NEW: "add", Kind.CHANGED: "edit", Kind.GONE: "remove"}[change.kind],
        "origin": str(Provenance(row.provenance).label),
        "evidence": row.evidence,
        "cells": [
            {
                "column": column_word(change.section, name),
                "old": _shown(change.section, name, old),
                "new": _shown(change.section, name, new),
            }
            for name, old, new in change.cells()
            if old or new
        ],
        "has_old": change.old is not None,
        "has_new": change.new is not None,
    }


def _name(change: Change) -> str:
    """Return the first column of a changed row, which tells it from its neighbours, unless a cell does."""
    first = COLUMNS.get(change.section, ("text",))[0]
    if change.kind is not Kind.CHANGED or any(name == first for name, _old, _new in change.cells()):
        return ""
    return _shown(change.section, first, str(getattr(change.row, first, "")))[:NAME_MAX]


def _shown(section: str, column: str, text: str) -> str:
    """Return a choice by its label and any other text as it is."""
    if section in ("root_cause", "title") or column == "ticked":
        return text
    choices = _field(section, column).choices or ()
    return str(dict(choices).get(text, text))
