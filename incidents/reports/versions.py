"""Versions of a report: every save is one, made under the report's lock, refused when it was signed off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from incidents.errors import ReportChanged, ReportLocked
from incidents.models import Report, ReportVersion, VersionKind
from incidents.reports import serial, store

#: Versions of one report that are kept; the oldest go first, what was signed off stays.
KEPT = 200
#: Characters of a reason.
REASON_MAX = 500
_ALWAYS = (VersionKind.SIGNED, VersionKind.REOPENED)


@contextmanager
def edit(
    report: Report,
    *,
    kind: VersionKind,
    at: datetime,
    actor: AbstractBaseUser | None,
    seen: int | None = None,
    reason: str = "",
) -> Iterator[Report]:
    """Change a report: the block gets its locked row, and what it leaves behind becomes a version.

    ``seen`` is the version that the person looked at.

    Raises:
        ReportLocked: it was signed off.
        ReportChanged: there is a newer version than ``seen``.
    """
    with transaction.atomic():
        held = Report.objects.select_for_update(of=("self",)).select_related("incident").get(pk=report.pk)
        refuse_locked(held)
        if seen is not None and held.revision != seen:
            raise ReportChanged(
                _("Version %(number)d was saved since you opened the page. Look at it and save again.")
                % {"number": held.revision}
            )
        yield held
        keep(held, kind=kind, at=at, actor=actor, reason=reason)
    report.refresh_from_db()


def refuse_locked(report: Report) -> None:
    """Refuse to change what was signed off.

    Raises:
        ReportLocked: it was.
    """
    if report.locked:
        raise ReportLocked(_("The report was signed off. Reopen it with a reason to change it."))


def keep(
    report: Report, *, kind: VersionKind, at: datetime, actor: AbstractBaseUser | None, reason: str = ""
) -> ReportVersion | None:
    """Keep the report as it is now; None when nothing changed since the last version.

    Call it inside ``atomic`` with the report's row locked.
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
    return made
