"""Actions on services: what may be pressed, the question with its reason and reach, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from incidents.action_words import verb as verb_word
from incidents.models import Incident
from portal.dashboard import queries
from portal.dashboard.access import OPERATE, viewer_required
from portal.dashboard.data import Level
from portal.dashboard.gateway import read_panel
from portal.monitoring import labels
from portal.monitoring.models import RuntimeKind, Service
from portal.operations import acting
from portal.operations.models import ActionState, Helped, OperatorAction
from portal.operations.permits import CHECK, COUNTED, VERBS

#: Actions shown on a page, services offered on an incident's, and dependents named.
SHOWN = 8
SERVICES_MAX = 5
DEPENDENTS_MAX = 20
_LEVELS = {
    ActionState.REQUESTED: Level.UNKNOWN,
    ActionState.RUNNING: Level.UNKNOWN,
    ActionState.DONE: Level.OK,
    ActionState.FAILED: Level.CRITICAL,
    ActionState.REFUSED: Level.WARNING,
    ActionState.UNKNOWN: Level.WARNING,
}
_EFFECTS = {Helped.YES: Level.OK, Helped.NO: Level.CRITICAL, Helped.NO_DATA: Level.UNKNOWN}
#: Parts of Bonghwa that carry the feed's clients.
_CARRIERS = ("web", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One action with the levels that its state and its effect are shown in."""

    action: OperatorAction
    level: Level
    effect: Level | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A service with the verbs that it allows as far as this process knows; the worker decides."""

    service: Service
    verbs: tuple[tuple[str, str], ...]
    hint: str


def of_service(service: Service) -> list[Done]:
    """Return its newest actions: one query."""
    found = OperatorAction.objects.filter(service=service).select_related("incident")
    return [_done(one) for one in found[:SHOWN]]


def of_incident(incident: Incident) -> list[Done]:
    """Return its newest actions: one query."""
    found = OperatorAction.objects.filter(incident=incident).select_related("incident")
    return [_done(one) for one in found[:SHOWN]]


def _done(action: OperatorAction) -> Done:
    effect = _EFFECTS[Helped(action.helped)] if action.helped else None
    return Done(action=action, level=_LEVELS[ActionState(action.state)], effect=effect)


def target(service: Service) -> Target:
    """Return what may be pressed on ``service``: no query."""
    own = str(service.labels.get(acting.OWN_LABEL, "")).lower() == "true"
    allowed = acting.allowed_verbs(service.runtime, service.name, service.labels, own)
    verbs = tuple((name, verb_word(name)) for name in VERBS if name in allowed)
    return Target(service=service, verbs=verbs, hint="" if len(verbs) > 1 else acting.not_allowed(service))


def targets(incident: Incident) -> list[Target]:
    """Return the services of ``incident`` that can be acted on: one query."""
    names = [name for name in incident.services if isinstance(name, str)][:SERVICES_MAX]
    return [target(one) for one in Service.objects.filter(name__in=names)[:SERVICES_MAX]]


def slots(incident: Incident) -> list[dict[str, str]]:
    """Return the gateway's sessions that ``incident`` concerns: no query."""
    known = [key.slot for key in settings.GATEWAY_UPSTREAM.keys]
    if "gateway" in incident.services:
        return [{"name": slot} for slot in known]
    return [{"name": slot} for slot in known if slot in incident.services]


def _reach(service: Service) -> dict[str, Any]:
    """Return whom an action on ``service`` would touch. Two queries and one look at Redis."""
    named = set(service.dependents.values_list("name", flat=True)[:DEPENDENTS_MAX])
    for name, given in Service.objects.exclude(labels={}).values_list("name", "labels")[:500]:
        if isinstance(given, dict) and service.name in labels.depends_on(given):
            named.add(name)
    panel = read_panel()
    carries = service.runtime == RuntimeKind.PROCESS and service.name.partition(":")[0] in _CARRIERS
    clients = sum(feed.connections for feed in panel.feeds) if panel.reachable else None
    return {"dependents": sorted(named)[:DEPENDENTS_MAX], "clients": clients, "carries": carries}


@viewer_required
@require_http_methods(["GET", "POST"])
def act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """Ask whether it is meant, with its reach; on POST, hand it to the ops worker."""
    actor = request.user
    if not actor.has_perm(OPERATE) or not isinstance(actor, User):
        raise PermissionDenied
    if verb not in VERBS:
        raise Http404
    service = get_object_or_404(Service.objects.select_related("state"), pk=pk)
    incident = _incident(request.GET.get("incident", ""), service)
    if request.method == "POST":
        return _press(request, actor, service, verb, incident)
    now = timezone.now()
    context = {
        "title": verb_word(verb),
        "service": service,
        "verb": verb,
        "word": verb_word(verb),
        "incident": incident,
        "reason_max": acting.REASON_MAX,
        "reason_needed": verb != CHECK,
        "early": acting.early(service, verb, now),
        "state": queries.service_row(service, now),
        "budget": settings.ACTION_BUDGET if verb in COUNTED else None,
        "recent": of_service(service),
        **_reach(service),
    }
    return render(request, "portal/action_confirm.html", context)


def _incident(number: str, service: Service) -> Incident | None:
    """Return the incident that the person came from, if it is one of this service's."""
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    found = Incident.objects.filter(number=int(number)).first()
    return found if found is not None and service.name in found.services else None


def _press(
    request: HttpRequest, actor: User, service: Service, verb: str, incident: Incident | None
) -> HttpResponse:
    reason = request.POST.get("reason", "")
    try:
        acting.request(
            service=service, verb=verb, reason=reason, actor=actor, at=timezone.now(), incident=incident
        )
    except acting.ActionRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("The ops worker was told; the result appears below in a moment."))
    if incident is not None:
        return redirect("incident", number=incident.number)
    return redirect("service", pk=service.pk)
