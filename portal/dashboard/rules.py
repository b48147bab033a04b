"""The rules for those who look at them: what each says, and how often it would have fired."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.dashboard.access import viewer_required
from portal.monitoring.dryrun import LOOK_BACK, MAX_LISTED, dry_run
from portal.monitoring.models import Alert, Rule

ALERTS_MAX = 20


@viewer_required
def rules(request: HttpRequest) -> HttpResponse:
    """Every rule with its thresholds."""
    return render(
        request, "portal/rules.html", {"title": _("Rules"), "rules": list(Rule.objects.all()[:500])}
    )


@viewer_required
def rule(request: HttpRequest, pk: int) -> HttpResponse:
    """One rule, its dry-run on history and its last alerts."""
    found = get_object_or_404(Rule, pk=pk)
    alerts = Alert.objects.filter(rule=found).order_by("-opened_at")[:ALERTS_MAX]
    context = {"title": _("Rule"), "rule": found, "alerts": list(alerts), **dry_run_context(found)}
    return render(request, "portal/rule.html", context)


def dry_run_context(found: Rule) -> dict[str, Any]:
    """Return the dry-run as its template takes it."""
    return {
        "result": dry_run(found, now=timezone.now()),
        "days": LOOK_BACK.days,
        "listed_max": MAX_LISTED,
    }
