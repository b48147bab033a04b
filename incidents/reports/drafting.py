"""Evidence rows to facts, facts to the stored draft."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from incidents import outbox, services
from incidents.evidence import EvidenceDamaged, load
from incidents.models import Evidence, Incident, Report, TimelineKind, VersionKind
from incidents.reports import checklist_rows, store, versions
from incidents.reports.draft import draft
from incidents.reports.draft_causes import root_cause
from incidents.reports.facts import Facts, Source
from incidents.reports.layout import LANGUAGES
from incidents.reports.words import Words, plain

logger = logging.getLogger(__name__)

#: Freezes in which the origin of a row is looked for when it is shown in the other language.
FREEZES = 6


def site_language() -> str:
    """Return the language in which reports are drafted."""
    code = settings.LANGUAGE_CODE[:2]
    return code if code in LANGUAGES else "ko"


def facts_of(incident: Incident, analysed_at: datetime) -> Facts:
    """Read the newest evidence of each kind and subject of the present occurrence."""
    return facts_since(incident, analysed_at, freezes=1)[0]


def facts_since(incident: Incident, analysed_at: datetime, freezes: int = FREEZES) -> list[Facts]:
    """Return the facts as they were after each of the last ``freezes`` freezes, the newest first.

    A report may hold rows of an older freeze than the newest, until somebody accepts a new draft of them.
    """
    rows = list(Evidence.objects.filter(incident=incident, captured_at__gte=incident.burning_since))
    signals = tuple((row.title, outbox.describe(row.detail)) for row in incident.signals.all())
    times = sorted({row.captured_at for row in rows}, reverse=True)[:freezes]
    sources = {row.pk: source for row in rows if (source := _source(row)) is not None}
    found = []
    for until in times or [analysed_at]:
        newest = {(row.kind, row.subject): row for row in rows if row.captured_at <= until}
        found.append(
            Facts(
                title=incident.title,
                slug=incident.slug,
                service=next(iter(incident.services), ""),
                analysed_at=analysed_at,
                signals=signals,
                sources=tuple(sources[row.pk] for row in newest.values() if row.pk in sources),
            )
        )
    return found


def _source(row: Evidence) -> Source | None:
    try:
        return Source(row.kind, row.subject, load(row), row.pk)
    except EvidenceDamaged as error:
        logger.error("%s", error)
        return None


def draft_report(*, incident: Incident, now: datetime) -> Report:
    """Draft the report of an incident, or renew its draft; a person's rows and items stay as they are.

    A report that was signed off is left alone.
    """
    analysed = now.replace(second=0, microsecond=0)
    language = site_language()
    facts = facts_of(incident, analysed)
    with transaction.atomic():
        report, _created = Report.objects.get_or_create(
            incident=incident,
            defaults={"title": plain(incident.title)[:200], "language": language, "analysed_at": analysed},
        )
        if report.locked:
            return report
        document = draft(replace(facts, analysed_at=analysed), report.language)
        with versions.edit(report, kind=VersionKind.DRAFTED, at=now, actor=None) as held:
            held.analysed_at, held.drafted_at = analysed, now
            store.save_draft(held, document)
            checklist_rows.sync_draft(held, document.checklist, timezone.localdate(now))
        report = held
        services.record(incident=incident, kind=TimelineKind.DRAFTED, at=now, root_cause=document.root_cause)
    return report


def findings(incident: Incident, now: datetime, language: str) -> list[str]:
    """Return what the evidence says in one line for the opening message; nothing without evidence."""
    line = root_cause(facts_of(incident, now), Words(language))
    return [line] if line else []
