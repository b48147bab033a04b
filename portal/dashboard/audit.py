"""``/audit/``: who did what, newest first, a page at a time. Viewers do not see it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from incidents.action_words import VERBS
from incidents.models import AuditEntry, ItemState, Severity, State
from portal.dashboard.access import AUDIT, viewer_required

PAGE = 50
#: Characters of a filter, of the values shown, and actions offered in the list.
FILTER_MAX = 100
VALUES_MAX = 600
ACTIONS_MAX = 200
WORDS = {
    "auth.sign_in": gettext_lazy("signed in"),
    "auth.sign_out": gettext_lazy("signed out"),
    "auth.sign_in_failed": gettext_lazy("sign-in failed"),
    "admin.add": gettext_lazy("added in the administration"),
    "admin.change": gettext_lazy("changed in the administration"),
    "admin.delete": gettext_lazy("deleted in the administration"),
    "incident.open": gettext_lazy("incident opened"),
    "incident.reopen": gettext_lazy("incident reopened"),
    "incident.acknowledge": gettext_lazy("incident acknowledged"),
    "incident.mitigate": gettext_lazy("incident mitigated"),
    "incident.unmitigate": gettext_lazy("mitigation taken back"),
    "incident.resolve": gettext_lazy("incident resolved"),
    "incident.review": gettext_lazy("incident reviewed"),
    "incident.unreview": gettext_lazy("review taken back"),
    "incident.close": gettext_lazy("incident closed"),
    "incident.merge": gettext_lazy("incident merged"),
    "incident.split": gettext_lazy("incident split"),
    "incident.severity": gettext_lazy("severity set"),
    "incident.lead": gettext_lazy("lead set"),
    "incident.impact": gettext_lazy("start of the impact corrected"),
    "incident.star": gettext_lazy("event taken into the report"),
    "incident.unstar": gettext_lazy("event taken out of the report"),
    "evidence.download": gettext_lazy("evidence downloaded"),
    "incident.note": gettext_lazy("note written"),
    "item.add": gettext_lazy("measure added"),
    "item.change": gettext_lazy("measure changed"),
    "item.delete": gettext_lazy("measure deleted"),
    "item.assign": gettext_lazy("measure assigned"),
    "item.verify": gettext_lazy("measure verified by button"),
    "item.claim": gettext_lazy("measure claimed"),
    "item.reopen": gettext_lazy("measure reopened"),
    "item.waive": gettext_lazy("measure waived"),
    "item.verified": gettext_lazy("measure verified"),
    "item.failing": gettext_lazy("measure fails"),
    "item.stale": gettext_lazy("measure out of date"),
    "pack.apply": gettext_lazy("pack of measures applied"),
    "report.import": gettext_lazy("report imported"),
    "report.save": gettext_lazy("report edited"),
    "report.lock": gettext_lazy("report signed off and locked"),
    "report.reopen": gettext_lazy("report opened again"),
    "report.accept": gettext_lazy("new draft's row accepted"),
    "report.cause": gettext_lazy("root cause chosen"),
    "drill.requested": gettext_lazy("drill asked for"),
    "drill.passed": gettext_lazy("drill passed"),
    "drill.not_passed": gettext_lazy("drill did not pass"),
    "drill.abort": gettext_lazy("end of the drill asked for"),
    "drill.aborted": gettext_lazy("drill aborted"),
    "drill.broken": gettext_lazy("drill could not be played"),
    "drill.attached": gettext_lazy("drill bound to a measure"),
    "alert.acknowledge": gettext_lazy("alert acknowledged"),
    "alert.silence": gettext_lazy("alert silenced"),
    "alarm.self_test": gettext_lazy("self-test begun"),
    "feed.disconnect": gettext_lazy("client disconnected"),
    "monitor.add": gettext_lazy("monitor added"),
    "monitor.change": gettext_lazy("monitor changed"),
    "log.open": gettext_lazy("live log opened"),
    "audit.prune": gettext_lazy("old entries removed"),
    "audit.reanchor": gettext_lazy("end of the audit accepted"),
}
_OUTCOMES = {
    "done": gettext_lazy("done"),
    "failed": gettext_lazy("failed"),
    "refused": gettext_lazy("refused"),
    "unknown": gettext_lazy("outcome unknown"),
    "helped": gettext_lazy("helped"),
    "not_helped": gettext_lazy("did not help"),
    "no_data": gettext_lazy("no data"),
}

_FIELDS = {
    "address": gettext_lazy("address"),
    "asked_by": gettext_lazy("asked by"),
    "state": gettext_lazy("state"),
    "outcome": gettext_lazy("outcome"),
    "severity": gettext_lazy("severity"),
    "until": gettext_lazy("until"),
    "sections": gettext_lazy("sections"),
    "version": gettext_lazy("version"),
    "left_out": gettext_lazy("left out"),
    "log": gettext_lazy("details"),
    "file": gettext_lazy("file"),
    "created": gettext_lazy("new incident"),
    "findings": gettext_lazy("findings"),
    "drill": gettext_lazy("drill"),
    "lead": gettext_lazy("lead"),
    "owner": gettext_lazy("owner"),
    "priority": gettext_lazy("priority"),
    "due": gettext_lazy("due"),
    "verifier": gettext_lazy("verifier"),
    "target": gettext_lazy("target"),
    "text": gettext_lazy("text"),
}
_STATES = {**_OUTCOMES, **dict(ItemState.choices), **dict(State.choices)}
_CHOICES = {"state": _STATES, "outcome": _STATES, "severity": dict(Severity.choices)}
_NOTHING = (None, "")
#: Values that say where a row is, not what was done.
_HIDDEN = frozenset({"action", "item", "mac"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry in words."""

    entry: AuditEntry
    word: str
    values: str


@viewer_required
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show a page of entries that match action, person and target: three queries."""
    if not request.user.has_perm(AUDIT):
        raise PermissionDenied
    given = {name: request.GET.get(name, "").strip()[:FILTER_MAX] for name in ("action", "actor", "target")}
    before = request.GET.get("before", "")
    found = AuditEntry.objects.all()
    if given["action"]:
        found = found.filter(action=given["action"])
    if given["actor"]:
        found = found.filter(actor_name__iexact=given["actor"])
    if given["target"]:
        found = found.filter(target__icontains=given["target"])
    if before.isascii() and before.isdigit() and len(before) < 18:
        found = found.filter(seq__lt=int(before))
    entries = list(found.order_by("-seq")[: PAGE + 1])
    known = AuditEntry.objects.order_by("action").values_list("action", flat=True).distinct()[:ACTIONS_MAX]
    chosen = {name: value for name, value in given.items() if value}
    context = {
        "title": _("Audit"),
        "rows": [_row(entry) for entry in entries[:PAGE]],
        "given": given,
        "actions": [(name, word(name)) for name in known],
        "filtered": bool(chosen),
        "older": urlencode({**chosen, "before": entries[PAGE - 1].seq}) if len(entries) > PAGE else "",
        "newest": urlencode(chosen) if before else None,
    }
    return render(request, "portal/audit.html", context)


def word(action: str) -> str:
    """Return an action in words; one that has none is shown as it is."""
    if action in WORDS:
        return str(WORDS[action])
    kind, verb, outcome = (*action.split("."), "", "")[:3]
    if kind not in ("service", "gateway") or verb not in VERBS:
        return action
    return f"{VERBS[verb]}: {_OUTCOMES[outcome]}" if outcome in _OUTCOMES else str(VERBS[verb])


def _row(entry: AuditEntry) -> Row:
    return Row(entry=entry, word=word(entry.action), values=_text(entry.before or {}, entry.after or {}))


def _text(before: dict[str, Any], after: dict[str, Any]) -> str:
    parts = []
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if name in _HIDDEN or (old in _NOTHING and new in _NOTHING):
            continue
        if old in _NOTHING or old == new:
            parts.append(_value(name, new))
        else:
            parts.append(f"{_value(name, old)} → {_shown(name, new)}")
    text = ", ".join(parts)
    return text if len(text) <= VALUES_MAX else f"{text[:VALUES_MAX]}…"


def _value(name: str, value: object) -> str:
    shown = _shown(name, value)
    return shown if name in ("note", "incident") else f"{_FIELDS.get(name, name)}: {shown}"


def _shown(name: str, value: object) -> str:
    if value in _NOTHING:
        return "—"
    if name == "incident":
        return f"INC-{value}"
    if name in _CHOICES and str(value) in _CHOICES[name]:
        return str(_CHOICES[name][str(value)])
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
