"""Takes a report's Markdown in: finds its incident or makes one, and says what could not be read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from incidents import services
from incidents.errors import ReportLocked
from incidents.models import Incident, Report, Severity, State, TimelineKind, VersionKind
from incidents.reports import checklist_rows, store, versions
from incidents.reports.export import document_for
from incidents.reports.markdown import parse
from incidents.reports.model import Document, Issue

#: Largest report file, in bytes.
MAX_BYTES = 2 * 1024 * 1024
#: Most lines of a report: each may become a row, and all rows are written in one transaction (some 10 s).
MAX_LINES = 10_000
#: Tries against another import or a signal that takes the same number.
RACE_TRIES = 5
_HEALTHY = re.compile(r"🟢|healthy|정상|\bok\b|✅", re.IGNORECASE)
_UNHEALTHY = re.compile(r"unhealthy|비정상|🔴|❌", re.IGNORECASE)


class ImportRefused(Exception):
    """The file is no report; the text is one line for a person."""


@dataclass(frozen=True, slots=True)
class Imported:
    """The incident of an imported report, whether it is new or changed, and what was kept as plain text."""

    incident: Incident
    created: bool
    changed: bool
    issues: tuple[Issue, ...]


def read_file(path: Path) -> str:
    """Return the text of a report file without reading more than :data:`MAX_BYTES` of it.

    Raises:
        ImportRefused: it cannot be read, is too large or too long, is binary or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImportRefused(
            _("%(path)s cannot be read: %(why)s. Give the path of a Markdown file that you may read.")
            % {"path": path, "why": error.strerror}
        ) from error
    return decode(raw, str(path))


def decode(raw: bytes, name: str) -> str:
    """Return ``raw`` as text.

    Raises:
        ImportRefused: as :func:`read_file`.
    """
    if len(raw) > MAX_BYTES:
        raise ImportRefused(
            _("%(path)s is larger than %(mib)d MiB. Give the report alone, without logs.")
            % {"path": name, "mib": MAX_BYTES >> 20}
        )
    if b"\x00" in raw:
        raise ImportRefused(_("%(path)s is not text. Give a Markdown file.") % {"path": name})
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ImportRefused(
            _("%(path)s is not UTF-8 (line %(line)d). Save it as UTF-8 and import it again.")
            % {"path": name, "line": line}
        ) from error
    # A lone carriage return ends a line for the parser, too.
    if text.count("\n") + text.count("\r") - text.count("\r\n") > MAX_LINES:
        raise ImportRefused(
            _("%(path)s has more than %(lines)d lines. Give the report alone, without logs.")
            % {"path": name, "lines": MAX_LINES}
        )
    if not text.strip():
        raise ImportRefused(_("%(path)s is empty. Give a Markdown file.") % {"path": name})
    return text


def import_text(*, text: str, name: str, now: datetime, actor: AbstractBaseUser | None = None) -> Imported:
    """Store a report; one that is known (same title and time of analysis) updates its incident.

    A report that says what is stored already changes no row.

    Raises:
        ImportRefused: nothing of the layout was found in it, or the report is signed off.
    """
    parsed = parse(text)
    document = parsed.document
    if not _is_report(document):
        raise ImportRefused(
            _("%(path)s holds no section of a report. See export_report for the headings it needs.")
            % {"path": name}
        )
    for _try in range(RACE_TRIES):
        try:
            with transaction.atomic():
                incident, created, changed = _store(document, Path(name), now, actor, len(parsed.issues))
                return Imported(incident, created, changed, parsed.issues)
        except ReportLocked as error:
            raise ImportRefused(str(error)) from error
        except IntegrityError:
            # Another worker took the number or imports the same report: look again.
            continue
    raise ImportRefused(_("The database kept changing; import it again."))


def identity(document: Document, stem: str) -> str:
    """Return what makes a report the same one: its title and the minute of its analysis."""
    title = slugify(document.title or stem, allow_unicode=True)[:150]
    return f"{title}@{document.analysed_at:%Y%m%d%H%M}" if document.analysed_at else f"{title}@{stem}"[:200]


def _is_report(document: Document) -> bool:
    """Whether it has a time of analysis or anything in a section of the layout; a title is no report."""
    placed = tuple(extra for extra in document.extras if extra.after != "title")
    return replace(document, title="", extras=placed) != Document(language=document.language)


def _store(
    document: Document, file: Path, now: datetime, actor: AbstractBaseUser | None, findings: int
) -> tuple[Incident, bool, bool]:
    stem, told = file.stem, versions.Told()
    key = identity(document, stem)
    report = _known(document, key)
    created = report is None
    if report is None:
        report = _create(document, key, stem, now)
    with versions.edit(report, kind=VersionKind.IMPORTED, at=now, actor=actor, told=told) as held:
        before, shown = store.load(held), document_for(held, document.language)
        store.save_import(held, document, shown)
        checklist_rows.sync_import(held, document, shown, timezone.localdate(now))
        changed = created or store.load(held) != before
        told.after |= {"file": file.name, "created": created, "findings": findings}
        if changed:
            services.record(
                incident=held.incident, kind=TimelineKind.IMPORTED, at=now, actor=actor, file=file.name
            )
    return held.incident, created, changed


def _known(document: Document, key: str) -> Report | None:
    reports = Report.objects.select_related("incident")
    if found := reports.filter(incident__import_key=key).first():
        return found
    if document.analysed_at is None or not document.title:
        return None
    minute = document.analysed_at.replace(second=0, microsecond=0)
    return (
        reports.filter(
            title=document.title, analysed_at__gte=minute, analysed_at__lt=minute + timedelta(minutes=1)
        )
        .order_by("-pk")
        .first()
    )


def _create(document: Document, key: str, stem: str, now: datetime) -> Report:
    at = document.analysed_at or now
    title = document.title or stem
    affected = [row.service.strip("*`") for row in document.status if _is_down(row.state)]
    incident = services.create_incident(
        title=title[:200],
        fingerprint=f"import:{key}"[:200],
        import_key=key,
        services=affected,
        severity=Severity.CRITICAL,
        state=State.RESOLVED,
        opened_at=at,
        resolved_at=at,
    )
    return Report.objects.create(
        incident=incident, title=title[:200], language=document.language, analysed_at=at
    )


def _is_down(state: str) -> bool:
    return bool(_UNHEALTHY.search(state)) or not _HEALTHY.search(state)
