"""Versions of a report: every save is one, made under the report's lock, refused when it was signed off.

What a person saves is audited: who, which sections, which version; the texts are in the version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from incidents import audit
from incidents.errors import ReportChanged, ReportLocked
from incidents.models import Report, ReportVersion, VersionKind
from incidents.reports import serial, store
from incidents.reports.rows import SECTIONS

#: Versions of one report that are kept; the oldest go first, what was signed off stays.
KEPT = 200
#: Characters of a reason.
REASON_MAX = 500
_ALWAYS = (VersionKind.SIGNED, VersionKind.REOPENED)
#: The deed that makes a version. A draft of Bonghwa's own and a review have their own traces.
_DEEDS = {
    VersionKind.EDITED: "report.save",
    VersionKind.IMPORTED: "report.import",
    VersionKind.ACCEPTED: "report.accept",
    VersionKind.CAUSE: "report.cause",
}


@dataclass(slots=True)
class Told:
    """What the audit is told about a save besides its sections and version."""

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@contextmanager
def edit(
    report: Report,
    *,
    kind: VersionKind,
    at: datetime,
    actor: AbstractBaseUser | None,
    seen: int | None = None,
    reason: str = "",
    told: Told | None = None,
) -> Iterator[Report]:
    """Change a report: the block gets its locked row, and what it leaves behind becomes a version.

    ``seen`` is the version that the person looked at; the block may fill ``told``.

    Raises:
        ReportLocked: it was signed off.
        ReportChanged: there is a newer version than ``seen``.
    """
    with transaction.atomic():
        held = Report.objects.select_for_update(of=("self",)).select_related("incident").get(pk=report.pk)
        refuse_locked(held)
        if seen is not None:
            refuse_older(held, seen)
        yield held
        keep(held, kind=kind, at=at, actor=actor, reason=reason, told=told)
    report.refresh_from_db()


def refuse_older(report: Report, seen: int) -> None:
    """Refuse to save over what a person has not seen.

    Raises:
        ReportChanged: there is a newer version than ``seen``.
    """
    if report.revision != seen:
        raise ReportChanged(
            _("Version %(number)d was saved since you opened the page. Look at it and save again.")
            % {"number": report.revision}
        )


def refuse_locked(report: Report) -> None:
    """Refuse to change what was signed off.

    Raises:
        ReportLocked: it was.
    """
    if report.locked:
        raise ReportLocked(_("The report was signed off. Reopen it with a reason to change it."))


def keep(
    report: Report,
    *,
    kind: VersionKind,
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str = "",
    told: Told | None = None,
) -> ReportVersion | None:
    """Keep the report as it is now and audit it; None when nothing changed since the last version.

    Call it inside ``atomic`` with the report's row locked, and last: it stands in the audit's line.
    """
    document = serial.dump(store.load(report))
    last = report.versions.first()
    if last is not None and last.document == document and kind not in _ALWAYS:
        return None
    report.revision += 1
    Report.objects.filter(pk=report.pk).update(revision=report.revision)
    made = ReportVersion.objects.create(
        report=report,
        number=report.revision,
        kind=kind,
        at=at,
        actor_id=actor.pk if actor else None,
        reason=reason[:REASON_MAX],
        document=document,
    )
    oldest = report.versions.exclude(kind=VersionKind.SIGNED).values_list("pk", flat=True)[KEPT:]
    ReportVersion.objects.filter(pk__in=list(oldest)).delete()
    if kind in _DEEDS:
        told = told or Told()
        sections = changed_sections(last.document if last else {}, document)
        audit.record(
            action=_DEEDS[kind],
            actor=actor,
            target=str(report.incident),
            reason=reason,
            before=told.before or None,
            after={**told.after, "sections": sections, "version": made.number},
            at=at,
        )
    return made


def changed_sections(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the sections in which two stored documents differ, in the layout's order."""
    found = ["title"] if old.get("title") != new.get("title") else []
    if any(old.get(name) != new.get(name) for name in ("root_cause", "root_cause_row")):
        found.append("root_cause")
    names = (*(section.name for section in SECTIONS), "checklist")
    return found + [name for name in names if (old.get(name) or []) != (new.get(name) or [])]
