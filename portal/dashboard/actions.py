"""What operators press: state changes of incidents, and commands for the gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from gateway import commands
from incidents import services
from incidents.errors import IncidentError
from incidents.models import Incident
from portal.dashboard.access import operator_action
from portal.dashboard.gateway import connect

#: Characters of a reason or note that are kept.
REASON_MAX = 2000

MOVES: dict[str, Callable[..., Any]] = {
    "acknowledge": services.acknowledge,
    "mitigate": services.mitigate,
    "resolve": services.resolve,
}


@operator_action
def incident(request: HttpRequest, number: int) -> HttpResponse:
    """Acknowledge, mitigate, resolve or annotate an incident; a refusal is told, not raised."""
    found = get_object_or_404(Incident, number=number)
    verb = request.POST.get("verb", "")
    reason = request.POST.get("reason", "").strip()[:REASON_MAX]
    now = timezone.now()
    actor = request.user if isinstance(request.user, AbstractBaseUser) else None
    try:
        if verb == "note" and reason:
            services.add_note(incident=found, text=reason, at=now, actor=actor)
        elif verb == "note":
            messages.error(request, _("Write the note first."))
        elif verb in MOVES:
            MOVES[verb](incident=found, at=now, actor=actor, reason=reason)
        else:
            messages.error(request, _("Unknown action."))
    except IncidentError as error:
        messages.error(request, str(error))
    return redirect("incident", number=number)


@operator_action
def gateway(request: HttpRequest, slot: str) -> HttpResponse:
    """Queue a command for the gateway with the reason that was given."""
    try:
        with connect() as client:
            commands.give(
                client,
                slot=slot,
                verb=request.POST.get("verb", ""),
                reason=request.POST.get("reason", ""),
                by=request.user if isinstance(request.user, AbstractBaseUser) else None,
            )
    except ValueError:
        messages.error(request, _("The gateway needs a known command and a reason."))
    except redis.RedisError:
        messages.error(request, _("Redis does not answer; the gateway did not get the command."))
    else:
        messages.success(request, _("The gateway was told."))
    return redirect("feed-operations" if request.POST.get("page") == "operations" else "dashboard")
