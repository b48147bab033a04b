"""``/posture/``: what is missing before anything fails, and the button that makes a measure of it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from incidents import audit
from incidents.queue import enqueue_verify
from portal.dashboard.access import viewer_required
from portal.operations import posture

ADD = "incidents.add_checklistitem"


@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """Show every check: what fails with its fix, what is good with its number."""
    found = posture.read()
    context = {"title": _("Posture"), "posture": found, "may_add": request.user.has_perm(ADD)}
    return render(request, "portal/posture.html", context)


@login_required
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    """Make a measure of a finding and have a worker look at it; a finding has one measure at most."""
    if not request.user.has_perm(ADD):
        raise PermissionDenied
    check, target = request.POST.get("check", "")[:40], request.POST.get("target", "")[:200]
    made = posture.add_measure(check, target, today=timezone.localdate())
    if made is None:
        messages.info(request, _("That is not so any more; nothing was added."))
        return redirect("posture")
    item, is_new = made
    if is_new:
        finding = f"{check} {target}"
        audit.record(action="item.add", actor=request.user, target=finding, after={"item": item.pk})
    if not is_new:
        messages.info(request, _("It is on the checklist already."))
    elif enqueue_verify([item.pk]):
        messages.success(request, _("Added to the checklist; a worker verifies it now."))
    else:
        messages.success(request, _("Added to the checklist; it is verified once the broker answers."))
    return redirect(f"{reverse('posture')}#{check}")
