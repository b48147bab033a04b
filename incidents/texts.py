"""Words of the messages, in Korean and English: value, limit, since when, last lines, link, what to do.

Everything that comes from a watched system passes ``incidents.inert`` here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from incidents.inert import inert
from incidents.models import Incident, IncidentSignal, NotificationKind, Severity

#: Alerts listed in one message.
SIGNALS_SHOWN = 8
#: Subjects listed in a roll-up.
SUBJECTS_SHOWN = 10
#: Characters of a line of evidence.
LINE_MAX = 200
Content = dict[str, Any]


def languages() -> list[str]:
    """Return the languages that messages are written in."""
    return [code for code, _name in settings.LANGUAGES]


def site_language() -> str:
    """Return the portal's own language, the first one when it is none that messages are written in."""
    code = settings.LANGUAGE_CODE[:2]
    return code if code in languages() else languages()[0]


def compose(
    *,
    incident: Incident,
    kind: NotificationKind,
    at: datetime,
    lines: Sequence[str] = (),
    findings: Mapping[str, Sequence[str]] | None = None,
    sequence: int = 0,
    told: Mapping[str, Any] | None = None,
) -> Content:
    """Return subject and body by language, and the bare ``facts`` for webhooks.

    ``lines`` are the last lines of evidence, ``findings`` what the freeze found by language, ``sequence``
    the number of a reminder, ``told`` the facts of the message before.
    """
    signals = list(incident.signals.filter(opened_at__gte=incident.burning_since))
    if kind is not NotificationKind.RESOLVED:
        signals = [one for one in signals if one.cleared_at is None]
    content: Content = {"facts": _facts(incident, signals, at, lines)}
    for language in languages():
        with translation.override(language):
            head, tail = _WORDS[kind](incident, at, sequence, told or {})
            body = [inert(incident.title), *head]
            body += _signals(signals, at)
            body += [f"- {inert(line)}" for line in (findings or {}).get(language, ())]
            if lines:
                body += ["", _("Last lines:"), *(f"  {inert(line, LINE_MAX)}" for line in lines)]
            body += ["", *tail, _("Link: %(url)s") % {"url": link(incident)}, _todo(kind)]
            content[language] = [_subject(incident, kind)[:250], "\n".join(body)]
    return content


def compose_rollup(*, channel: str, per_hour: int, since: datetime, subjects: Sequence[str]) -> Content:
    """Return the message that tells of ``subjects`` held back since ``since``."""
    content: Content = {"facts": {"held": len(subjects), "since": since.isoformat()}}
    for language in languages():
        with translation.override(language):
            count = len(subjects)
            subject = ngettext("%(n)d message was held back", "%(n)d messages were held back", count)
            lines = [
                _("%(channel)s takes %(limit)d messages an hour; since %(time)s these were held back:")
                % {"channel": inert(channel), "limit": per_hour, "time": when(since)},
                *(f"- {one}" for one in subjects[:SUBJECTS_SHOWN]),
            ]
            if count > SUBJECTS_SHOWN:
                lines.append(_("… and %(n)d more") % {"n": count - SUBJECTS_SHOWN})
            lines += ["", _("Link: %(url)s") % {"url": f"{settings.PUBLIC_URL}/messages/"}]
            content[language] = [f"Bonghwa: {subject % {'n': count}}", "\n".join(lines)]
    return content


def compose_test(*, channel: str, by: str, at: datetime) -> Content:
    """Return the message of the *Test* button."""
    content: Content = {"facts": {"at": at.isoformat()}}
    for language in languages():
        with translation.override(language):
            lines = [
                _("This channel works."),
                _("%(person)s tested the channel %(channel)s at %(time)s.")
                % {"person": inert(by), "channel": inert(channel), "time": when(at)},
                _("Link: %(url)s") % {"url": f"{settings.PUBLIC_URL}/"},
            ]
            content[language] = [_("Bonghwa: test message"), "\n".join(lines)]
    return content


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


def link(incident: Incident) -> str:
    """Return the public address of the incident's page."""
    return f"{settings.PUBLIC_URL}/incidents/{incident.number}/"


def when(at: datetime) -> str:
    """Return a time with its zone."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S (%Z)")


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours >= 24:
        return _("%(d)d d %(h)d h") % {"d": hours // 24, "h": hours % 24}
    if hours:
        return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes}
    if minutes:
        return _("%(m)d min %(s)d s") % {"m": minutes, "s": whole % 60}
    return _("%(s)d s") % {"s": whole}


Parts = tuple[list[str], list[str]]


def _opened(incident: Incident, at: datetime, _sequence: int, _told: Mapping[str, Any]) -> Parts:
    head = []
    if incident.reopened:
        head.append(_("The same fault came back (occurrence %(n)d).") % {"n": incident.reopened + 1})
    return head, [_since(incident)]


def _changed(incident: Incident, at: datetime, _sequence: int, told: Mapping[str, Any]) -> Parts:
    head = []
    before = str(told.get("severity", ""))
    if before and before != incident.severity:
        words = {"old": Severity(before).label, "new": Severity(incident.severity).label}
        head.append(_("Severity: %(old)s → %(new)s.") % words)
    joined = [one for one in incident.services if one not in told.get("services", ())]
    if joined:
        head.append(_("Now affected too: %(names)s.") % {"names": inert(", ".join(joined))})
    return head, [_since(incident)]


def _reminder(incident: Incident, at: datetime, sequence: int, told: Mapping[str, Any]) -> Parts:
    silent = duration((at - incident.burning_since).total_seconds())
    head = [
        _("Nobody has acknowledged it for %(duration)s (reminder %(n)d).")
        % {"duration": silent, "n": sequence}
    ]
    return head + _changed(incident, at, sequence, told)[0], [_since(incident)]


def _resolved(incident: Incident, at: datetime, _sequence: int, _told: Mapping[str, Any]) -> Parts:
    lasted = duration((at - incident.burning_since).total_seconds())
    head = [_("Every alert is clear. It lasted %(duration)s.") % {"duration": lasted}, _("What was seen:")]
    tail = [
        _("Since: %(time)s") % {"time": when(incident.burning_since)},
        _("Resolved: %(time)s") % {"time": when(at)},
    ]
    return head, tail


_WORDS: dict[NotificationKind, Callable[[Incident, datetime, int, Mapping[str, Any]], Parts]] = {
    NotificationKind.OPENED: _opened,
    NotificationKind.CHANGED: _changed,
    NotificationKind.REMINDER: _reminder,
    NotificationKind.RESOLVED: _resolved,
}


def _subject(incident: Incident, kind: NotificationKind) -> str:
    words: dict[NotificationKind, str] = {
        NotificationKind.RESOLVED: _("Resolved"),
        NotificationKind.REMINDER: _("%(severity)s, unacknowledged")
        % {"severity": incident.get_severity_display()},
        NotificationKind.CHANGED: _("%(severity)s, changed") % {"severity": incident.get_severity_display()},
    }
    word = words.get(kind, incident.get_severity_display())
    return f"[{word}] INC-{incident.number} {inert(incident.title)}"


def _todo(kind: NotificationKind) -> str:
    if kind is NotificationKind.RESOLVED:
        return _("What to do: review the drafted report and give the prevention checklist its owners.")
    return _(
        "What to do: open the link, acknowledge it, read cause and log, then use the emergency commands."
    )


def _since(incident: Incident) -> str:
    since = incident.impact_started_at if not incident.reopened else None
    return _("Since: %(time)s") % {"time": when(since or incident.burning_since)}


def _signals(signals: Sequence[IncidentSignal], at: datetime) -> list[str]:
    lines = []
    for row in signals[:SIGNALS_SHOWN]:
        words = describe(row.detail)
        # Without a unit the numbers are in the title already, in the words of whoever raised it.
        shown = words if {"unit", "text"} & row.detail.keys() and words not in row.title else ""
        lines.append(f"- {inert(row.title)} ({inert(shown)})" if shown else f"- {inert(row.title)}")
        lines += [f"  {part}" for part in [_rule(row, "" if shown else words, at)] if part]
    return [*lines, "- …"] if len(signals) > SIGNALS_SHOWN else lines


def _rule(row: IncidentSignal, words: str, at: datetime) -> str:
    """Return which rule fired, on what, since when; empty for a signal that no rule raised."""
    rule = row.detail.get("rule")
    if not rule:
        return ""
    since = _time(row.detail.get("since")) or row.opened_at
    parts = [_("rule %(name)s") % {"name": inert(str(rule), 80)}]
    if words:
        parts.append(inert(words))
    lasted = duration(((row.cleared_at or at) - since).total_seconds())
    today = timezone.localdate(since) == timezone.localdate(at)
    clock = timezone.localtime(since).strftime("%H:%M:%S %Z") if today else when(since)
    parts.append(_("since %(time)s, for %(duration)s") % {"time": clock, "duration": lasted})
    return ", ".join(parts)


def _facts(
    incident: Incident, signals: Sequence[IncidentSignal], at: datetime, lines: Sequence[str]
) -> Content:
    return {
        "at": at.isoformat(),
        "number": incident.number,
        "title": incident.title,
        "severity": str(incident.severity),
        "state": str(incident.state),
        "services": list(incident.services),
        "occurrence": incident.reopened + 1,
        "since": incident.burning_since.isoformat(),
        "lasted_s": round((at - incident.burning_since).total_seconds(), 1),
        "url": link(incident),
        "alerts": [
            {
                "title": row.title,
                "severity": str(row.severity),
                "opened_at": row.opened_at.isoformat(),
                **{name: row.detail.get(name) for name in ("rule", "value", "limit", "unit", "since")},
            }
            for row in signals[:SIGNALS_SHOWN]
        ],
        "lines": list(lines),
    }


def _time(text: object) -> datetime | None:
    try:
        found = parse_datetime(str(text)) if text else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo else None


def _number(value: object) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
