"""Wording of timeline events from their values, in the active language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents.action_words import action_sentence
from incidents.models import EvidenceKind, ItemState, Severity, State, TimelineEvent, TimelineKind
from portal.dashboard.wording import duration

ICONS = {
    TimelineKind.OPENED: "local_fire_department",
    TimelineKind.REOPENED: "local_fire_department",
    TimelineKind.SIGNAL: "notification_important",
    TimelineKind.CLEARED: "check",
    TimelineKind.EVIDENCE: "ac_unit",
    TimelineKind.DRAFTED: "draft",
    TimelineKind.STATE: "swap_horiz",
    TimelineKind.NOTIFIED: "send",
    TimelineKind.NOTIFY_FAILED: "cancel_schedule_send",
    TimelineKind.IMPORTED: "upload_file",
    TimelineKind.CHECKLIST: "checklist",
    TimelineKind.ACTION: "bolt",
    TimelineKind.LEAD: "person",
    TimelineKind.IMPACT: "schedule",
    TimelineKind.MERGED: "merge",
    TimelineKind.SPLIT: "call_split",
    TimelineKind.DOWNLOAD: "download",
    TimelineKind.NOTE: "edit_note",
}
#: Reasons that freezing notes by itself.
_MISSING = {"no time left": gettext_lazy("the time or the number of parts was spent")}
#: Names of values that say where a thing is, not what it is; they are left out of the wording.
HIDDEN = {"key", "field", "detail", "item", "evidence", "notification", "sha256", "severity"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline."""

    at: datetime
    kind: str
    icon: str
    label: str
    text: str
    actor: str
    incident: int | None = None
    id: int = 0
    starred: bool = False
    evidence: int | None = None

    @property
    def day(self) -> str:
        """Return the day in the portal's zone."""
        return timezone.localtime(self.at).strftime("%Y-%m-%d")

    @property
    def zone(self) -> str:
        """Return the zone's short name."""
        return timezone.localtime(self.at).strftime("%Z")

    @property
    def clock(self) -> str:
        """Return the time of day in the portal's zone."""
        return timezone.localtime(self.at).strftime("%H:%M:%S")


def entry(event: TimelineEvent) -> Entry:
    """Return ``event`` in words; this causes no query when actor and evidence are joined."""
    return Entry(
        at=event.at,
        kind=event.kind,
        icon=ICONS.get(TimelineKind(event.kind), "circle"),
        label=_label(event),
        text=event.text or _words(event),
        actor=event.actor.get_username() if event.actor else "",
        incident=event.incident.number if "incident" in event._state.fields_cache else None,
        id=event.pk,
        starred=event.starred,
        evidence=event.evidence_id,
    )


def _label(event: TimelineEvent) -> str:
    data = event.data if isinstance(event.data, dict) else {}
    if event.kind == TimelineKind.STATE and data.get("field") == "severity":
        return _("Severity changed")
    if event.kind == TimelineKind.EVIDENCE and "error" in data:
        return _("Evidence missing")
    return str(event.get_kind_display())


def _words(event: TimelineEvent) -> str:
    data: dict[str, Any] = event.data if isinstance(event.data, dict) else {}
    if event.kind == TimelineKind.STATE and "new" in data:
        parts = [_("%(old)s → %(new)s") % {"old": _state(data.get("old")), "new": _state(data["new"])}]
        if data.get("green_s") is not None:
            parts.append(_("green for %(duration)s") % {"duration": duration(data["green_s"])})
        if data.get("reason"):
            parts.append(str(data["reason"]))
        return " · ".join(parts)
    if event.kind == TimelineKind.CHECKLIST and "new" in data:
        return _of_item(data)
    if event.kind == TimelineKind.ACTION and "verb" in data:
        return action_sentence(data)
    if words := _of_people(event.kind, data):
        return words + (f" · {data['reason']}" if data.get("reason") else "")
    if event.kind == TimelineKind.EVIDENCE and event.evidence:
        return f"{event.evidence.get_kind_display()} {event.evidence.subject}".strip()
    if event.kind == TimelineKind.EVIDENCE and "error" in data:
        name, why = str(data.get("collector", "")), str(data["error"])
        return f"{dict(EvidenceKind.choices).get(name, name)}: {_MISSING.get(why, why)}"
    if event.kind == TimelineKind.CHECKLIST and {"old", "new"} <= data.keys():
        moved = _("%(old)s → %(new)s") % {"old": _state(data["old"]), "new": _state(data["new"])}
        data = {name: moved if name == "new" else data[name] for name in data if name != "old"}
    values = [data[name] for name in data if name not in HIDDEN]
    return " · ".join(_value(value) for value in values if value not in ("", None, [], {}))


def _of_item(data: dict[str, Any]) -> str:
    """Return what became of a measure, what was seen of it, and what changed before it failed."""
    moved = _("%(old)s → %(new)s") % {"old": _state(data.get("old")), "new": _state(data["new"])}
    return " · ".join(
        str(part) for part in (data.get("text"), moved, data.get("observed"), data.get("changed")) if part
    )


def _of_people(kind: str, data: dict[str, Any]) -> str:
    """Return what somebody did to an incident as a whole; empty for any other event."""
    if kind == TimelineKind.LEAD:
        return _("%(old)s → %(new)s") % {"old": data.get("old") or "—", "new": data.get("new") or "—"}
    if kind == TimelineKind.IMPACT:
        return _("%(old)s → %(new)s") % {"old": _time(data.get("old")), "new": _time(data.get("new"))}
    if kind == TimelineKind.MERGED and "into" in data:
        return _("merged into INC-%(number)d") % {"number": data["into"]}
    if kind == TimelineKind.MERGED:
        return _("INC-%(number)d was merged into this one") % {"number": data["from"]}
    if kind == TimelineKind.SPLIT:
        titles = ", ".join(map(str, data.get("titles", [])))
        if "into" in data:
            return _("moved to INC-%(number)d: %(titles)s") % {"number": data["into"], "titles": titles}
        return _("split from INC-%(number)d: %(titles)s") % {"number": data["from"], "titles": titles}
    return ""


def _time(value: object) -> str:
    found = parse_datetime(str(value)) if value else None
    return timezone.localtime(found).strftime("%Y-%m-%d %H:%M %Z") if found else "—"


def _state(value: object) -> str:
    labels = {**dict(State.choices), **dict(ItemState.choices), **dict(Severity.choices)}
    return str(labels.get(str(value), value or "—"))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return _state(value)
