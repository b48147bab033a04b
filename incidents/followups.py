"""What is told about an incident after its first message: reminders while nobody takes it, and changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, QuerySet

from incidents import quieting
from incidents.lines import evidence_lines
from incidents.models import OPEN_STATES, Incident, Notification, NotificationKind, Severity, State
from incidents.models.channel import RANKS
from incidents.outbox import write
from incidents.policy import reminder_due

#: Incidents looked at in one run.
BATCH = 200


def remind(*, now: datetime) -> list[Notification]:
    """Write the reminders of incidents that nobody has acknowledged; informative ones are never repeated.

    Only the newest reminder that is due is written: an outbox that stood still does not catch up.
    """
    policy = settings.NOTIFY_POLICY
    unheard = Incident.objects.filter(state=State.DETECTED, import_key=None).exclude(severity=Severity.INFO)
    written = []
    for incident in _heard(unheard, now):
        number = reminder_due(policy, incident.burning_since, now)
        last = _last(incident)
        if not number or last is None or last.created_at > now - timedelta(seconds=policy.group_interval):
            continue
        done = _of_occurrence(incident).filter(kind=NotificationKind.REMINDER)
        if (done.aggregate(last=Max("sequence"))["last"] or 0) < number:
            written.append(_follow(incident, NotificationKind.REMINDER, now, number, last))
    return written


def tell_changes(*, now: datetime) -> list[Notification]:
    """Write one message for all that changed in an incident since the last one: worse, or wider.

    A change is gathered for ``group_wait`` and told at most once in ``group_interval``. Further alerts on
    the same services are on the page and in the next message, and send none.
    """
    policy = settings.NOTIFY_POLICY
    settled = now - timedelta(seconds=policy.group_wait)
    written = []
    open_now = Incident.objects.filter(state__in=OPEN_STATES, import_key=None, green_since=None)
    for incident in _heard(open_now, now):
        last = _last(incident)
        if last is None or last.created_at > now - timedelta(seconds=policy.group_interval):
            continue
        told = last.content.get("facts", {})
        worse = RANKS.index(Severity(incident.severity)) < RANKS.index(
            Severity(told.get("severity", incident.severity))
        )
        wider = bool(set(incident.services) - set(told.get("services", incident.services)))
        if not (worse or wider) or incident.signals.filter(opened_at__gt=settled).exists():
            continue
        done = _of_occurrence(incident).filter(kind=NotificationKind.CHANGED)
        number = (done.aggregate(last=Max("sequence"))["last"] or 0) + 1
        written.append(_follow(incident, NotificationKind.CHANGED, now, number, last))
    return written


def _heard(incidents: QuerySet[Incident], now: datetime) -> list[Incident]:
    """Return the newest of ``incidents`` but for those that are muted."""
    newest = list(incidents.order_by("-opened_at")[:BATCH])
    muted = quieting.muted([incident.number for incident in newest], now)
    return [incident for incident in newest if incident.number not in muted]


def _of_occurrence(incident: Incident) -> QuerySet[Notification]:
    return Notification.objects.filter(incident=incident, occurrence=incident.reopened)


def _last(incident: Incident) -> Notification | None:
    # What is owed says nothing about how the incident is.
    told = _of_occurrence(incident).exclude(kind=NotificationKind.DUE)
    return told.order_by("-created_at", "-pk").first()


def _follow(
    incident: Incident, kind: NotificationKind, now: datetime, number: int, last: Notification
) -> Notification:
    return write(incident, kind, now, sequence=number, lines=evidence_lines(incident), before=last)
