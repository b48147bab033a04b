"""A document as plain JSON data and back; what a version keeps. Knows no database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from incidents.reports import model

_ROWS: Mapping[str, type[model.Row]] = {
    "status": model.Status,
    "problems": model.Problem,
    "access": model.Access,
    "causes": model.Cause,
    "code_problems": model.CodeProblem,
    "commands": model.Command,
    "fixes": model.Fix,
    "proxies": model.Proxy,
    "long_term": model.LongTerm,
    "files": model.File,
    "checklist": model.Item,
    "extras": model.Extra,
}


def dump(document: model.Document) -> dict[str, Any]:
    """Return ``document`` as JSON data; equal documents of equal origin give equal data."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(document), default=_iso))
    return data


def load(data: Mapping[str, Any]) -> model.Document:
    """Return the document of :func:`dump`; columns that this program no longer has are ignored."""
    values: dict[str, Any] = {
        name: data[name] for name in ("title", "language", "root_cause") if name in data
    }
    if data.get("analysed_at"):
        values["analysed_at"] = datetime.fromisoformat(data["analysed_at"])
    values["root_cause_row"] = _row(model.Row, data.get("root_cause_row") or {})
    for name, kind in _ROWS.items():
        values[name] = tuple(_row(kind, row) for row in data.get(name, ()))
    values["empty"] = tuple(data.get("empty", ()))
    values["headings"] = tuple((slot, wording) for slot, wording in data.get("headings", ()))
    return model.Document(**values)


def _row(kind: type[model.Row], data: Mapping[str, Any]) -> Any:
    known = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in data.items() if name in known})


def _iso(value: datetime) -> str:
    return value.isoformat()
