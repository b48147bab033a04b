"""Words of the reminders of what is late and of the weekly digest, in each language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from incidents.inert import inert
from incidents.models import ChecklistItem, Incident
from incidents.texts import Content, languages, link

if TYPE_CHECKING:
    from incidents.duedates import Owed

#: Lines of each list in one message.
SHOWN = 10


def compose_due(
    *, incident: Incident, report_due: date | None, late: Sequence[ChecklistItem], today: date
) -> Content:
    """Return the reminder of one incident."""
    content: Content = {"facts": {"number": incident.number, "report_due": _iso(report_due)}}
    for language in languages():
        with translation.override(language):
            lines = [inert(incident.title)]
            if report_due is not None:
                lines.append(
                    _("The report was due on %(day)s (%(late)s).")
                    % {"day": report_due.isoformat(), "late": days_late(report_due, today)}
                )
            if late:
                lines += [_("Measures that are late:"), *_items(late, today)]
            lines += ["", _("Link: %(url)s") % {"url": link(incident)}]
            lines.append(
                _("What to do: finish and review the report; verify, waive or re-date the measures.")
            )
            subject = f"[{_('Overdue')}] INC-{incident.number} {inert(incident.title)}"
            content[language] = [subject[:250], "\n".join(lines)]
    return content


def compose_digest(*, owed: Owed) -> Content:
    """Return the weekly digest."""
    content: Content = {
        "facts": {
            "open": owed.open_incidents,
            "reports": len(owed.reports),
            "late": len(owed.late),
            "soon": len(owed.soon),
        }
    }
    for language in languages():
        with translation.override(language):
            lines = [_("Open incidents: %(n)d") % {"n": owed.open_incidents}]
            if owed.reports:
                lines += ["", _("Reports that are late:")]
                lines += _cut(
                    f"- INC-{incident.number} {inert(incident.title)} ({days_late(due, owed.day)})"
                    for incident, due in owed.reports
                )
            for words, items in (
                (_("Measures that are late:"), owed.late),
                (_("Due within a week:"), owed.soon),
                (_("Waivers that end within a week:"), owed.waivers),
            ):
                if items:
                    lines += ["", words, *_items(items, owed.day)]
            lines += ["", _("Link: %(url)s") % {"url": f"{settings.PUBLIC_URL}/checklist/"}]
            content[language] = [_("Bonghwa: digest of the week"), "\n".join(lines)]
    return content


def days_late(due: date, today: date) -> str:
    """Return how late it is in words."""
    count = (today - due).days
    return ngettext("%(n)d day late", "%(n)d days late", count) % {"n": count}


def _items(items: Sequence[ChecklistItem], today: date) -> list[str]:
    return _cut(_item(item, today) for item in items)


def _item(item: ChecklistItem, today: date) -> str:
    origin = f"INC-{item.incident.number} " if item.incident else ""
    owner = item.owner.get_username() if item.owner else _("no owner")
    day = item.waived_until or item.due
    when = days_late(day, today) if day is not None and day < today else _iso(day) or "—"
    return f"- {item.priority} {origin}{inert(item.text)} · {inert(owner)} · {when}"


def _cut(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    more = [_("… and %(n)d more") % {"n": len(found) - SHOWN}] if len(found) > SHOWN else []
    return found[:SHOWN] + more


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
