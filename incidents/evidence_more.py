"""When evidence is frozen: as an incident opens, when a service ends, before an action, half an hour later.

What is kept of one incident stays bounded, since evidence is exempt from retention.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from incidents import queue, registry
from incidents.evidence import capture, keep
from incidents.models import (
    OPEN_STATES,
    REAL,
    Evidence,
    EvidenceKind,
    Incident,
    TimelineKind,
    Trigger,
)
from incidents.redaction import redact
from incidents.timeline import record

logger = logging.getLogger(__name__)

#: An end of the same service is not captured again for so long; a crash loop must not fill the database.
DEBOUNCE = timedelta(minutes=5)
#: Captures of ends for one incident.
ENDS_MAX = 12
#: Captures before actions for one incident.
ACTIONS_MAX = 12
#: Captures of one incident's opening and of its reopenings, and second parts; a fault that comes and goes for
#: days looks the same each time.
OPENINGS_MAX = 12
#: What an end changes or threatens to take along: exit code, last health runs, last log lines.
OF_AN_END = ("inspect", "health", "logs")
#: The second part is of so long after the beginning of an occurrence,
AFTER = timedelta(minutes=30)
#: is tried again when its worker died so long ago, and given up so long after the beginning.
LOST = timedelta(minutes=5)
GIVEN_UP = timedelta(hours=6)
#: Incidents looked at in one run.
BATCH = 20


def ended(ends: Mapping[str, datetime], now: datetime) -> list[tuple[int, str]]:
    """Ask a worker to freeze the last words of services that ended; return incident ids and names.

    Only services of an open incident count, and only ends after its freeze began: what ended before, and
    what opened the incident by ending, is in that freeze.
    """
    if not ends:
        return []
    asked = []
    for incident in Incident.objects.filter(REAL, state__in=OPEN_STATES).order_by("-opened_at")[:BATCH]:
        for name in sorted(set(incident.services) & ends.keys()):
            unseen = incident.frozen_at is not None and ends[name] > incident.frozen_at
            if unseen and _is_due(incident, name, now):
                queue.enqueue_freeze_end(incident.pk, name)
                asked.append((incident.pk, name))
    return asked


def freeze_end(*, incident: Incident, name: str, now: datetime) -> list[Evidence]:
    """Capture the last words of one service, unless that was done just now."""
    if not _is_due(incident, name, now):
        return []
    return capture(incident=incident, now=now, trigger=Trigger.DIE, only=OF_AN_END, services=[name])


def before_action(*, incident: Incident, now: datetime) -> list[Evidence] | None:
    """Freeze what an action would destroy; None when :data:`ACTIONS_MAX` captures of it are kept already."""
    if _captures(incident, Trigger.ACTION) >= ACTIONS_MAX:
        return None
    return capture(incident=incident, now=now, trigger=Trigger.ACTION)


def opening(*, incident: Incident, now: datetime) -> list[Evidence]:
    """Freeze what is known as an incident opens or opens again, :data:`OPENINGS_MAX` times at most."""
    if _captures(incident, Trigger.OPENING) >= OPENINGS_MAX:
        logger.warning("INC-%s opened again; %d freezes of it are kept", incident.number, OPENINGS_MAX)
        return []
    return capture(incident=incident, now=now)


def _captures(incident: Incident, trigger: Trigger) -> int:
    taken = Evidence.objects.filter(incident=incident, trigger=trigger)
    return taken.order_by().values("captured_at").distinct().count()


def _is_due(incident: Incident, name: str, now: datetime) -> bool:
    ends = Evidence.objects.filter(incident=incident, trigger=Trigger.DIE)
    if ends.filter(subject=name, captured_at__gt=now - DEBOUNCE).exists():
        return False
    return ends.order_by().values("subject", "captured_at").distinct().count() < ENDS_MAX


def append_after(*, now: datetime) -> list[Evidence]:
    """Append to each incident what was measured in the 30 minutes after it began, once."""
    kept: list[Evidence] = []
    for incident in _without_after(now):
        if _captures(incident, Trigger.AFTER) >= OPENINGS_MAX:
            continue
        if Incident.objects.filter(pk=incident.pk, followed_at=incident.followed_at).update(followed_at=now):
            kept += _append(incident, now)
    return kept


def _without_after(now: datetime) -> list[Incident]:
    done = Evidence.objects.filter(
        incident=OuterRef("pk"), captured_at__gte=OuterRef("burning"), trigger=Trigger.AFTER
    )
    due = (
        Incident.objects.filter(REAL, import_key=None, frozen_at__isnull=False)
        .annotate(burning=Coalesce("reopened_at", "opened_at"))
        .filter(burning__lte=now - AFTER, burning__gte=now - GIVEN_UP)
        .filter(Q(followed_at=None) | Q(followed_at__lt=now - LOST))
        .exclude(Exists(done))
    )
    return list(due.order_by("opened_at")[:BATCH])


def _append(incident: Incident, now: datetime) -> list[Evidence]:
    start = incident.burning_since
    first = Evidence.objects.filter(incident=incident, kind=EvidenceKind.METRICS, captured_at__gte=start)
    parts = {row.subject: row for row in first.defer("payload").order_by("-pk")}
    kept = []
    for name, follower in registry.followers().items():
        try:
            for bundle in follower(list(incident.services), start, start + AFTER):
                continues = parts.get(bundle.subject)
                kept.append(
                    keep(incident=incident, bundle=bundle, at=now, trigger=Trigger.AFTER, continues=continues)
                )
        except Exception as error:
            # As when freezing: another app's code must not cost the rest.
            logger.exception("Evidence follower %s failed for INC-%s", name, incident.number)
            why = redact(f"{type(error).__name__}: {error}")[:300]
            record(incident=incident, kind=TimelineKind.EVIDENCE, at=now, collector=name, error=why)
    return kept
