"""What people press on the incident page. Each verb is one service call; a refusal is told, not raised."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from incidents import services
from incidents.errors import IncidentError, NotAllowed
from incidents.evidence_files import PERMISSION as EDIT
from incidents.models import Incident, TimelineEvent
from incidents.reports import review
from portal.dashboard.access import operator_action
from portal.monitoring import alerting

#: Characters of a reason or note that are kept.
REASON_MAX = 2000
#: Alerts that one form may split off.
SPLIT_MAX = 100

MOVES: dict[str, Callable[..., Any]] = {
    "acknowledge": services.acknowledge,
    "mitigate": services.mitigate,
    "unmitigate": services.unmitigate,
    "resolve": services.resolve,
    "reopen": services.reopen_by_hand,
    "review": review.review_incident,
    "unreview": services.unreview,
    "close": services.close,
}
#: Verbs of editors; all others are of operators.
EDITORS = frozenset({"review", "unreview", "impact"})


@operator_action
def act(request: HttpRequest, number: int) -> HttpResponse:
    """Move, annotate, star, lead, rate, merge or split an incident."""
    found = get_object_or_404(Incident.objects.select_related("lead"), number=number)
    verb = request.POST.get("verb", "")
    user = request.user
    if not isinstance(user, User) or (verb in EDITORS and not user.has_perm(EDIT)):
        raise PermissionDenied
    reason = request.POST.get("reason", "").strip()[:REASON_MAX]
    try:
        if verb in MOVES:
            MOVES[verb](incident=found, at=timezone.now(), actor=user, reason=reason)
        elif verb in VERBS:
            found = VERBS[verb](request, found, timezone.now(), user, reason) or found
        else:
            messages.error(request, _("Unknown action."))
    except IncidentError as error:
        messages.error(request, str(error))
    return redirect("incident", number=found.number)


def _note(_request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> None:
    if not reason:
        raise NotAllowed(_("Write the note first."))
    services.add_note(incident=found, text=reason, at=now, actor=user)


def _star(request: HttpRequest, found: Incident, now: datetime, user: User, _reason: str) -> None:
    event = get_object_or_404(TimelineEvent, pk=_number(request, "event"), incident=found)
    services.star(event=event, starred=request.POST.get("starred") == "1", at=now, actor=user)


def _severity(request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> None:
    severity = request.POST.get("severity", "")
    services.change_severity(incident=found, severity=severity, at=now, actor=user, reason=reason)


def _take(_request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> None:
    services.set_lead(incident=found, lead=user, at=now, actor=user, reason=reason)


def _lead(request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> None:
    name = request.POST.get("lead", "").strip()[:150]
    lead = User.objects.filter(username=name).first() if name else None
    if name and lead is None:
        raise NotAllowed(_("There is nobody called %(name)s.") % {"name": name})
    services.set_lead(incident=found, lead=lead, at=now, actor=user, reason=reason)


def _impact(request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> None:
    try:
        began = parse_datetime(request.POST.get("started_at", ""))
    except ValueError:
        began = None
    if began is None:
        raise NotAllowed(_("Give date and time as 2026-02-06 09:15."))
    if timezone.is_naive(began):
        began = timezone.make_aware(began)
    services.correct_impact(incident=found, started_at=began, at=now, actor=user, reason=reason)


def _merge(request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> Incident:
    target = Incident.objects.filter(number=_number(request, "into")).first()
    if target is None:
        raise NotAllowed(_("There is no such incident; give the number alone, such as 12."))
    merged = services.merge(source=found, target=target, at=now, actor=user, reason=reason)
    alerting.renumber(found.number, merged.number)
    return merged


def _split(request: HttpRequest, found: Incident, now: datetime, user: User, reason: str) -> Incident:
    given = request.POST.getlist("signal")[:SPLIT_MAX]
    chosen = {int(text) for text in given if text.isascii() and text.isdigit() and len(text) < 19}
    try:
        part = services.split(incident=found, signals=chosen, at=now, actor=user, reason=reason)
    except IntegrityError as error:
        raise NotAllowed(_("Another incident was opened at the same moment; press again.")) from error
    keys = part.signals.values_list("key", flat=True)
    alerting.renumber(found.number, part.number, keys=set(keys))
    return part


def _number(request: HttpRequest, name: str) -> int:
    text = request.POST.get(name, "").strip().upper().removeprefix("INC-")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


VERBS: dict[str, Callable[[HttpRequest, Incident, datetime, User, str], Incident | None]] = {
    "note": _note,
    "star": _star,
    "severity": _severity,
    "take": _take,
    "lead": _lead,
    "impact": _impact,
    "merge": _merge,
    "split": _split,
}
