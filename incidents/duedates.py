"""What people owe after an incident, its report and its measures: reminders of what is late, a weekly digest.

Everything is computed from stored times; nothing derived is stored. Per incident at most
:data:`REMINDERS_MAX` reminders, a week apart, and one digest a week.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from incidents import duetexts, texts
from incidents.channels import enabled
from incidents.models import (
    OPEN_STATES,
    REAL,
    ChecklistItem,
    Delivery,
    Incident,
    ItemState,
    Notification,
    NotificationKind,
    Severity,
    State,
)

#: Calendar days from the end of an incident until its report is due.
REPORT_DAYS_CRITICAL = 3
REPORT_DAYS = 7
#: Reminders of one incident, and the time between two.
REMINDERS_MAX = 6
REMIND_EVERY = timedelta(days=7)
#: Incidents and measures looked at in one run.
BATCH = 200
#: The digest is written from this hour of Monday on, in the portal's zone.
DIGEST_HOUR = 9
#: It also tells what is due in so many days.
SOON = timedelta(days=7)
DONE = (ItemState.VERIFIED, ItemState.WAIVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What is owed on one day; lists are cut to :data:`BATCH`."""

    day: date
    open_incidents: int
    reports: Sequence[tuple[Incident, date]]
    late: Sequence[ChecklistItem]
    soon: Sequence[ChecklistItem]
    waivers: Sequence[ChecklistItem]

    def __bool__(self) -> bool:
        return bool(self.open_incidents or self.reports or self.late or self.soon or self.waivers)


def report_due(incident: Incident) -> date | None:
    """Return the day by which the report has to be reviewed; None while it burns and once it was."""
    if incident.state != State.RESOLVED or incident.resolved_at is None:
        return None
    if incident.merged_into_id is not None or incident.import_key is not None:
        return None
    days = REPORT_DAYS_CRITICAL if incident.severity == Severity.CRITICAL else REPORT_DAYS
    return timezone.localdate(incident.resolved_at) + timedelta(days=days)


def owed(now: datetime) -> Owed:
    """Return what is late and what is due soon: five queries."""
    today = timezone.localdate(now)
    waiting = Incident.objects.filter(REAL, state=State.RESOLVED, merged_into=None, import_key=None)
    reports = []
    for incident in waiting.order_by("resolved_at")[:BATCH]:
        due = report_due(incident)
        if due is not None and due < today:
            reports.append((incident, due))
    items = ChecklistItem.objects.exclude(state__in=DONE).select_related("report__incident", "owner")
    waived = ChecklistItem.objects.filter(state=ItemState.WAIVED, waived_until__lte=today + SOON)
    return Owed(
        day=today,
        open_incidents=Incident.objects.filter(REAL, state__in=OPEN_STATES).count(),
        reports=reports,
        late=list(items.filter(due__lt=today).order_by("due", "pk")[:BATCH]),
        soon=list(items.filter(due__gte=today, due__lte=today + SOON).order_by("due", "pk")[:BATCH]),
        waivers=list(
            waived.select_related("report__incident", "owner").order_by("waived_until", "pk")[:BATCH]
        ),
    )


def remind(*, now: datetime) -> list[Notification]:
    """Write one reminder for each incident whose report or measures are late, at most one a week."""
    found = owed(now)
    reports = {incident.pk: due for incident, due in found.reports}
    incidents = {incident.pk: incident for incident, _due in found.reports}
    late: dict[int, list[ChecklistItem]] = {}
    for item in found.late:
        if item.incident is not None and not item.incident.is_exercise:
            incidents[item.incident.pk] = item.incident
            late.setdefault(item.incident.pk, []).append(item)
    written = []
    for pk, incident in incidents.items():
        told = Notification.objects.filter(
            incident=incident, kind=NotificationKind.DUE, occurrence=incident.reopened
        )
        last = told.aggregate(number=Max("sequence"), at=Max("created_at"))
        number = (last["number"] or 0) + 1
        if number > REMINDERS_MAX or (last["at"] and now - last["at"] < REMIND_EVERY):
            continue
        content = duetexts.compose_due(
            incident=incident, report_due=reports.get(pk), late=late.get(pk, ()), today=found.day
        )
        subject, body = content[texts.site_language()]
        message, new = Notification.objects.get_or_create(
            incident=incident,
            kind=NotificationKind.DUE,
            occurrence=incident.reopened,
            sequence=number,
            defaults={
                "subject": subject,
                "body": body,
                "content": content,
                "created_at": now,
                "next_attempt_at": now,
            },
        )
        written += [message] if new else []
    return written


def digest(*, now: datetime) -> Notification | None:
    """Write the digest of this week to the channels that are told first; None when nothing is owed.

    A database constraint keeps it to one a week, whichever workers try.
    """
    local = timezone.localtime(now)
    year, week, weekday = local.isocalendar()
    if weekday == 1 and local.hour < DIGEST_HOUR:
        return None
    channels = enabled()
    number = year * 100 + week
    if not channels or Notification.objects.filter(kind=NotificationKind.DIGEST, occurrence=number).exists():
        return None
    found = owed(now)
    if not found:
        return None
    content = duetexts.compose_digest(owed=found)
    subject, body = content[texts.site_language()]
    first = min(channel.step for channel in channels)
    try:
        with transaction.atomic():
            message = Notification.objects.create(
                kind=NotificationKind.DIGEST,
                occurrence=number,
                subject=subject,
                body=body,
                content=content,
                created_at=now,
                next_attempt_at=now,
                routed_at=now,
            )
            Delivery.objects.bulk_create(
                Delivery(message=message, channel=channel, label=channel.name, next_attempt_at=now)
                for channel in channels
                if channel.step == first
            )
    except IntegrityError:
        # Another worker wrote it.
        return None
    return message
