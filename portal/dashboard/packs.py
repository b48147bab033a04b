"""``/checklist/packs/``: packs of measures, and applying one to the services that carry a label."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from incidents import packs, registry
from incidents.models import ItemPack
from incidents.queue import enqueue_verify
from portal.dashboard.access import viewer_required
from portal.dashboard.items import ADD
from portal.operations import selection

#: Packs on the page; further ones are applied after the list was tidied up.
PACKS_MAX = 50


@viewer_required
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the packs; ``?pack=…&label=…&pattern=…`` shows which services one would be applied to."""
    may_apply = request.user.has_perm(ADD)
    given = request.POST if request.method == "POST" else request.GET
    label, pattern = given.get("label", "")[:200], given.get("pattern", "")[:200]
    found = list(ItemPack.objects.prefetch_related("items")[:PACKS_MAX])
    chosen = next((one for one in found if str(one.pk) == given.get("pack", "")), None)
    services = selection.select(label=label, pattern=pattern) if chosen and may_apply else []
    if request.method == "POST":
        if not may_apply:
            return HttpResponse(status=403)
        if chosen is None or not services:
            messages.error(request, _("Choose a pack, and a label or a pattern that some service has."))
        else:
            _apply(request, chosen, services[: packs.MAX_SERVICES])
            return redirect("checklist")
    context = {
        "title": _("Item packs"),
        "packs": found,
        "chosen": chosen,
        "label": label,
        "pattern": pattern,
        "services": services[: packs.MAX_SERVICES],
        "cut": len(services) > packs.MAX_SERVICES,
        "asked": bool(chosen and (label or pattern)),
        "may_apply": may_apply,
        "verifiers": registry.verifiers(),
    }
    return render(request, "portal/checklist_packs.html", context)


def _apply(request: HttpRequest, pack: ItemPack, services: list[str]) -> None:
    actor = request.user if isinstance(request.user, User) else None
    owner = actor if request.POST.get("mine") else None
    done = packs.apply(pack=pack, services=services, today=timezone.localdate(), actor=actor, owner=owner)
    text = ngettext("%(n)d measure was added", "%(n)d measures were added", len(done.made)) % {
        "n": len(done.made)
    }
    if done.known:
        text += ", " + _("%(n)d were there already") % {"n": done.known}
    messages.success(request, text + ".")
    if done.made:
        enqueue_verify([one.pk for one in done.made if one.verifier])
