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
from incidents import queue, resend
from incidents.models import Delivery
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
