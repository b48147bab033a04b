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
from incidents.reports.draft import draft, root_cause
from incidents.reports.facts import Facts, Source
from incidents.reports.layout import LANGUAGES
from incidents.reports.words import Words, plain

logger = logging.getLogger(__name__)


def site_language() -> str:
    """Return the language in which reports are drafted."""
    code = settings.LANGUAGE_CODE[:2]
    return code if code in LANGUAGES else "ko"


def facts_of(incident: Incident, analysed_at: datetime) -> Facts:
    """Read the newest evidence of each kind and subject of the present occurrence."""
    rows = Evidence.objects.filter(incident=incident, captured_at__gte=incident.burning_since)
    newest = {(row.kind, row.subject): row for row in rows}
    sources = []
    for row in newest.values():
        try:
            sources.append(Source(row.kind, row.subject, load(row), row.pk))
        except EvidenceDamaged as error:
            logger.error("%s", error)
    signals = tuple((row.title, outbox.describe(row.detail)) for row in incident.signals.all())
    return Facts(
        title=incident.title,
        slug=incident.slug,
        service=next(iter(incident.services), ""),
        analysed_at=analysed_at,
        signals=signals,
        sources=tuple(sources),
    )


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
