"""Monitors: every endpoint as a matrix, and the form that adds, tries and changes one."""

from __future__ import annotations

from typing import Any

import redis
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods
from kombu.exceptions import OperationalError

from incidents import audit
from portal.dashboard import matrix
from portal.dashboard.access import OPERATE, viewer_required
from portal.dashboard.data import Level
from portal.dashboard.monitor_form import MonitorForm
from portal.monitoring import probing, trial
from portal.monitoring.models import Endpoint
from portal.monitoring.probes.base import ProbeReading
from portal.monitoring.tasks import try_probe

#: Endpoints on the page.
SHOWN_MAX = 500
#: Changes listed under the form.
CHANGES_MAX = 5
#: What a person may fill in from a link, e.g. from a service's page.
PREFILLED = ("service", "purpose", "kind", "vantage")


@viewer_required
def monitors(request: HttpRequest) -> HttpResponse:
    """Every endpoint: two queries."""
    rows = Endpoint.objects.select_related("service", "prober").order_by("service__name", "purpose", "name")
    found = list(rows[: SHOWN_MAX + 1])
    context = {
        "title": _("Monitors"),
        "matrix": matrix.build(found[:SHOWN_MAX], timezone.now()),
        "cut": len(found) > SHOWN_MAX,
        "shown_max": SHOWN_MAX,
        "checks_network": bool(settings.PROBE_CONNECTIVITY),
    }
    return render(request, "portal/monitors.html", context)


@viewer_required
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add a monitor, after trying it if wanted."""
    initial = {name: request.GET[name] for name in PREFILLED if name in request.GET}
    return _edit(request, Endpoint(), initial)


@viewer_required
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a monitor, after trying it if wanted."""
    return _edit(request, get_object_or_404(Endpoint, pk=pk), {})


def _edit(request: HttpRequest, endpoint: Endpoint, initial: dict[str, str]) -> HttpResponse:
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied
    if request.method != "POST":
        return _page(request, MonitorForm(instance=endpoint, initial=initial))
    form = MonitorForm(request.POST, instance=endpoint)
    if not form.is_valid():
        return _page(request, form, status=422)
    if request.POST.get("verb") == "test":
        return _page(request, form, tried=_try(request, form.instance), status=200)
    before = {name: form.initial.get(name) for name in form.changed_data} if endpoint.pk else None
    if not _save(form):
        return _page(request, form, status=409)
    audit.record(
        action="monitor.change" if before is not None else "monitor.add",
        actor=request.user if request.user.is_authenticated else None,
        target=str(endpoint),
        before=before,
        after={name: form.cleaned_data.get(name) for name in form.changed_data},
    )
    messages.success(
        request, _("%(name)s is saved; its first result comes within seconds.") % {"name": endpoint}
    )
    return redirect("monitors")


def _save(form: MonitorForm) -> bool:
    """Save what the form changed and probe it at once; False when somebody else took the URL meanwhile."""
    endpoint: Endpoint = form.instance
    endpoint.next_at = None
    try:
        with transaction.atomic():
            if endpoint.pk is None:
                endpoint.save()
            else:
                endpoint.save(update_fields=[*form.changed_data, "next_at"])
    except IntegrityError:
        form.add_error("url", _("Somebody added this URL meanwhile."))
        return False
    return True


def _try(request: HttpRequest, endpoint: Endpoint) -> dict[str, Any]:
    """Have a worker probe what the form says; return its reading, or why there is none."""
    try:
        ident = trial.begin(probing.target_of(endpoint), by=str(request.user.pk), endpoint=endpoint.pk)
        try_probe.apply_async(args=(ident,), queue="collect", expires=trial.QUESTION_TTL, retry=False)
        reading = trial.answer(ident)
    except trial.TooMany:
        return {"problem": _("Too many tests; try again in a minute.")}
    except (redis.RedisError, OperationalError):
        return {"problem": _("Redis does not answer; nothing was tested.")}
    if reading is None:
        text = _("No worker took the test within %(n)d seconds; is the collect worker running?")
        return {"problem": text % {"n": round(trial.WAIT_S)}}
    return {"reading": reading, "level": _level(reading)}


def _level(reading: ProbeReading) -> Level:
    if reading.ok is None:
        return Level.UNKNOWN
    return Level.OK if reading.ok else Level.CRITICAL


def _page(
    request: HttpRequest, form: MonitorForm, *, tried: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    endpoint: Endpoint = form.instance
    known = endpoint.pk is not None
    changes = endpoint.history.select_related("history_user")[:CHANGES_MAX] if known else ()
    context = {
        "title": _("Change a monitor") if known else _("Add a monitor"),
        "form": form,
        "groups": _groups(form),
        "endpoint": endpoint if known else None,
        "tried": tried,
        "changes": list(changes),
    }
    return render(request, "portal/monitor_form.html", context, status=status)


def _groups(form: MonitorForm) -> list[tuple[str, list[Any]]]:
    groups = [
        (_("What is probed"), ("name", "service", "purpose", "kind", "url", "host")),
        (_("From where"), ("vantage", "prober")),
        (
            _("What is expected"),
            ("expected_status", "body_contains", "expect_frame", "send", "min_days"),
        ),
        (_("How often"), ("interval_s", "timeout_s", "enabled")),
    ]
    return [(title, [form[name] for name in names]) for title, names in groups]
