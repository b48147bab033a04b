"""What operators press: messages sent again, and commands for the gateway."""

from __future__ import annotations

import redis
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from gateway import commands
from incidents import audit, queue, resend, services
from incidents.models import Delivery, Incident, TimelineKind
from portal.dashboard.access import OPERATE, operator_action, viewer_required
from portal.dashboard.gateway import connect
from portal.dashboard.lifecycle import REASON_MAX


@viewer_required
@require_http_methods(["GET", "POST"])
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one delivery and ask for a reason; on POST, put it back into the outbox."""
    actor = request.user
    if not actor.has_perm(OPERATE) or not isinstance(actor, AbstractBaseUser):
        raise PermissionDenied
    found = get_object_or_404(Delivery.objects.select_related("message__incident"), pk=pk)
    if request.method != "POST":
        context = {"title": _("Send again"), "delivery": found, "reason_max": REASON_MAX}
        return render(request, "portal/message_retry.html", context)
    reason = request.POST.get("reason", "").strip()[:REASON_MAX]
    if not reason:
        messages.error(request, _("Give a reason; it is kept."))
        return redirect(request.path)
    if resend.retry(delivery=found, at=timezone.now(), actor=actor, reason=reason):
        queue.enqueue_deliver()
        messages.success(request, _("The message waits for delivery."))
    else:
        messages.info(request, _("It is on its way, or was delivered already."))
    return redirect("messages")


@operator_action
def gateway(request: HttpRequest, slot: str) -> HttpResponse:
    """Queue a command for the gateway with the reason that was given, and tell the incident it is about."""
    verb, reason = request.POST.get("verb", ""), request.POST.get("reason", "")
    actor = request.user if isinstance(request.user, AbstractBaseUser) else None
    number = request.POST.get("incident", "")
    known = number.isascii() and number.isdigit() and len(number) < 10
    about = Incident.objects.filter(number=int(number)).first() if known else None
    try:
        with connect() as client:
            given = commands.give(client, slot=slot, verb=verb, reason=reason, by=actor)
        _tell_gateway(about, given.verb, slot, given.reason, actor, str(given.outcome))
    except ValueError:
        messages.error(request, _("The gateway needs a known command and a reason."))
    except redis.RedisError:
        _tell_gateway(about, verb, slot, reason, actor, "undelivered")
        messages.error(request, _("Redis does not answer; the gateway did not get the command."))
    else:
        messages.success(request, _("The gateway was told."))
    if about is not None:
        return redirect("incident", number=about.number)
    return redirect("feed-operations" if request.POST.get("page") == "operations" else "dashboard")


def _tell_gateway(
    about: Incident | None, verb: str, slot: str, reason: str, actor: AbstractBaseUser | None, outcome: str
) -> None:
    """Put a command for the gateway into the audit and, with an incident, on its timeline."""
    if about is not None:
        services.record(
            incident=about,
            kind=TimelineKind.ACTION,
            at=timezone.now(),
            actor=actor,
            verb=verb,
            subject=slot,
            outcome="failed" if outcome == "undelivered" else "requested",
            reason=reason,
        )
    number = about.number if about is not None else None
    after = {"outcome": outcome, "incident": number}
    audit.record(action=f"gateway.{verb}", actor=actor, target=slot, reason=reason, after=after)
