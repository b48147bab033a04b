"""Public status page: one sentence and the feed's state, nothing that helps an attacker."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_page

from incidents.models import OPEN_STATES, REAL, Incident, Severity
from portal.dashboard.data import Level
from portal.dashboard.gateway import read_panel

#: Seconds for which the page is reused, whoever asks.
REUSE = 5


@cache_page(REUSE)
def status(request: HttpRequest) -> HttpResponse:
    """Tell anybody whether the service works."""
    panel = read_panel()
    burning = Incident.objects.filter(REAL, state__in=OPEN_STATES)
    severities = set(burning.values_list("severity", flat=True))
    if Severity.CRITICAL in severities:
        level = Level.CRITICAL
    elif severities or panel.level is Level.WARNING:
        level = Level.WARNING
    else:
        level = panel.level
    return render(
        request, "portal/status.html", {"level": level, "panel": panel, "sentence": _sentence(level)}
    )


def _sentence(level: Level) -> str:
    return {
        Level.OK: _("Everything works"),
        Level.WARNING: _("Some functions are impaired"),
        Level.CRITICAL: _("There is an outage; we are working on it"),
    }.get(level, _("The state is unknown at the moment"))
