"""Portal pages: each gets its context from ``portal.dashboard.contexts``, which live updates share."""

from __future__ import annotations

from django.contrib import messages as notices
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from portal.dashboard import contexts, rollup
from portal.dashboard.access import viewer_required


def _page(request: HttpRequest, key: str, template: str) -> HttpResponse:
    context = contexts.build(key)
    if context is None:
        raise Http404
    return render(request, template, {**context, "live_page": key})


@viewer_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """Is anything wrong, since when, why, who is on it, and what to press."""
    return _page(request, "dashboard", "portal/dashboard.html")


@viewer_required
def services(request: HttpRequest) -> HttpResponse:
    """Every watched service."""
    return _page(request, "services", "portal/services.html")


@viewer_required
def service(request: HttpRequest, pk: int) -> HttpResponse:
    """One service: latest state, health output, log templates, probes, recent readings."""
    return _page(request, f"service:{pk}", "portal/service.html")


@viewer_required
def incidents(request: HttpRequest) -> HttpResponse:
    """Every incident, newest first."""
    return _page(request, "incidents", "portal/incidents.html")


@viewer_required
def incident(request: HttpRequest, number: int) -> HttpResponse:
    """One incident. An old link to a merged one leads to where it went, but for ``?own=1``."""
    key = f"incident:{number}"
    context = contexts.build(key)
    if context is None:
        raise Http404
    merged = context["incident"].merged_into
    if merged is not None and "own" not in request.GET:
        told = {"old": number, "new": merged.number}
        notices.info(request, _("INC-%(old)d was merged into INC-%(new)d, which you see now.") % told)
        return redirect("incident", number=merged.number)
    return render(request, "portal/incident.html", {**context, "live_page": key})


@viewer_required
def alerts(request: HttpRequest) -> HttpResponse:
    """Every open alert: what fires, what holds it back, what closed lately."""
    return _page(request, "alerts", "portal/alerts.html")


@viewer_required
def checklist(request: HttpRequest) -> HttpResponse:
    """What would bite us again: every preventive measure, the failing first. A filtered list is not live."""
    filters = rollup.Filters.read(request.GET.dict())
    if filters == rollup.Filters():
        return _page(request, "checklist", "portal/checklist.html")
    return render(request, "portal/checklist.html", rollup.context(filters))


@viewer_required
def messages(request: HttpRequest) -> HttpResponse:
    """The outbox: what waits, what was not delivered, what is held back, what arrived lately."""
    return _page(request, "messages", "portal/messages.html")


@viewer_required
def operations(request: HttpRequest) -> HttpResponse:
    """The feed for operators: upstream sessions, connections, topics, closes, limits in force."""
    return _page(request, "operations", "portal/operations.html")
