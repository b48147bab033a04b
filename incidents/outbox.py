"""Writes the messages of an incident into the outbox: one opening and one resolving per occurrence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from incidents.models import Incident, IncidentSignal, Notification, NotificationKind
from incidents.models.notification import DeliveryState

#: An opening message waits this long for the freeze to add what it measured; then it goes as it is.
FREEZE_GRACE = timedelta(seconds=20)
#: Alerts listed in one message.
SIGNALS_SHOWN = 8


def announce(*, incident: Incident, kind: NotificationKind, at: datetime) -> Notification:
    """Put the message of this occurrence into the outbox; a second call for it changes nothing."""
    with translation.override(settings.LANGUAGE_CODE):
        subject, body = _opened(incident) if kind is NotificationKind.OPENED else _resolved(incident, at)
    wait = FREEZE_GRACE if kind is NotificationKind.OPENED else timedelta()
    message, _created = Notification.objects.get_or_create(
        incident=incident,
        kind=kind,
        occurrence=incident.reopened,
        defaults={
            "subject": subject[:250],
            "body": body,
            "created_at": at,
            "next_attempt_at": at + wait,
        },
    )
    return message


def release(*, incident: Incident, at: datetime, findings: Iterable[str] = ()) -> None:
    """Let the waiting opening message go now, with what the freeze found; one already tried stays."""
    with translation.override(settings.LANGUAGE_CODE):
        _subject, body = _opened(incident, findings)
    Notification.objects.filter(
        incident=incident,
        kind=NotificationKind.OPENED,
        occurrence=incident.reopened,
        state=DeliveryState.PENDING,
        attempts=0,
    ).update(body=body, next_attempt_at=at)


def describe(detail: Mapping[str, Any]) -> str:
    """Word a signal's measured values: its ``text``, or ``value``, ``unit`` and ``limit``."""
    if text := detail.get("text"):
        return str(text)
    value, limit, unit = detail.get("value"), detail.get("limit"), str(detail.get("unit", ""))
    if value is None:
        return ""
    words = _("measured %(value)s%(unit)s") % {"value": _number(value), "unit": unit}
    if limit is not None:
        words += ", " + _("limit %(limit)s%(unit)s") % {"limit": _number(limit), "unit": unit}
    return words


def _opened(incident: Incident, findings: Iterable[str] = ()) -> tuple[str, str]:
    signals = list(incident.signals.filter(cleared_at=None)[: SIGNALS_SHOWN + 1])
    lines = [incident.title]
    if incident.reopened:
        lines.append(_("The same fault came back (occurrence %(n)d).") % {"n": incident.reopened + 1})
    lines += [f"- {_signal_line(row)}" for row in signals[:SIGNALS_SHOWN]]
    if len(signals) > SIGNALS_SHOWN:
        lines.append("- …")
    lines += [f"- {line}" for line in findings]
    since = incident.impact_started_at if not incident.reopened else None
    lines += [
        "",
        _("Since: %(time)s") % {"time": _when(since or incident.burning_since)},
        _("Link: %(url)s") % {"url": link(incident)},
        _("What to do: open the link, acknowledge it, read cause and log, then use the emergency commands."),
    ]
    subject = f"[{incident.get_severity_display()}] INC-{incident.number} {incident.title}"
    return subject, "\n".join(lines)


def _resolved(incident: Incident, at: datetime) -> tuple[str, str]:
    lines = [
        incident.title,
        _("Every alert is clear. It lasted %(duration)s.") % {"duration": _duration(at, incident)},
        "",
        _("Since: %(time)s") % {"time": _when(incident.burning_since)},
        _("Resolved: %(time)s") % {"time": _when(at)},
        _("Link: %(url)s") % {"url": link(incident)},
        _("What to do: review the drafted report and give the prevention checklist its owners."),
    ]
    return f"[{_('Resolved')}] INC-{incident.number} {incident.title}", "\n".join(lines)


def link(incident: Incident) -> str:
    """Return the public address of the incident's page."""
    return f"{settings.PUBLIC_URL}/incidents/{incident.number}/"


def _signal_line(row: IncidentSignal) -> str:
    # Without a unit the numbers are in the title already, in the words of whoever raised it.
    words = describe(row.detail) if {"unit", "text"} & row.detail.keys() else ""
    return f"{row.title} ({words})" if words and words not in row.title else row.title


def _number(value: object) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _when(at: datetime) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S (%Z)")


def _duration(at: datetime, incident: Incident) -> str:
    seconds = max(0, round((at - incident.burning_since).total_seconds()))
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes}
    if minutes:
        return _("%(m)d min %(s)d s") % {"m": minutes, "s": seconds % 60}
    return _("%(s)d s") % {"s": seconds}
