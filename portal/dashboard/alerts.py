"""The alerts page: what fires, what keeps it quiet, and what a person can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from incidents import audit
from incidents.models import Incident, State
from portal.dashboard.access import OPERATE, viewer_required
from portal.dashboard.data import STALE_AFTER_S, Level
from portal.monitoring import alerting, quiet
from portal.monitoring.models import Alert, Endpoint, Held, RunState, Silence

Context = dict[str, Any]

ALERTS_MAX = 300
CLOSED_MAX = 20
REASON_MAX = 300
#: Choices of a silence's length in hours.
SILENCE_HOURS = (1, 4, 24, 168)
#: An endpoint's probe is too old to be believed after three rounds (s).
PROBE_STALE_S = 190.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One alert with the word that says how it stands; ``level`` gives icon and colour."""

    alert: Alert
    word: str
    level: Level
    why: str = ""


def context() -> Context:
    """Return the page: five queries whatever the number of alerts."""
    now = timezone.now()
    open_alerts = list(_alerts().filter(closed_at=None).order_by("-opened_at")[:ALERTS_MAX])
    rows = standings(open_alerts, now)
    return {
        "title": _("Alerts"),
        "rows": sorted(rows, key=lambda row: list(Level).index(row.level)),
        "closed": list(_alerts().exclude(closed_at=None).order_by("-closed_at")[:CLOSED_MAX]),
        "quiets": quiet.in_force(now),
    }


def _alerts() -> Any:
    return Alert.objects.select_related(
        "rule", "service", "service__state", "suppressed_by", "acknowledged_by"
    )


def standings(alerts: list[Alert], now: datetime) -> list[Standing]:
    """Return how each alert stands: two queries."""
    numbers = {alert.incident_number for alert in alerts if alert.incident_number}
    taken = set(
        Incident.objects.filter(number__in=numbers)
        .exclude(state=State.DETECTED)
        .values_list("number", flat=True)
    )
    probed = dict(
        Endpoint.objects.filter(
            pk__in={
                int(alert.subject.partition(":")[2])
                for alert in alerts
                if alert.subject.startswith("endpoint:")
            }
        ).values_list("pk", "at")
    )
    return [_standing(alert, now, taken, probed) for alert in alerts]


def _standing(alert: Alert, now: datetime, taken: set[int], probed: dict[int, datetime | None]) -> Standing:
    if (unknown := _unknown(alert, now, probed)) is not None:
        return Standing(alert=alert, word=_("Unknown"), level=Level.UNKNOWN, why=unknown)
    if alert.suppressed_by is not None:
        why = _("suppressed by %(cause)s, on which it depends") % {"cause": alert.suppressed_by.name}
        return Standing(alert=alert, word=_("Suppressed"), level=Level.OFF, why=why)
    if alert.held:
        word = _("Silenced") if alert.held == Held.SILENCE else _("Maintenance")
        return Standing(alert=alert, word=word, level=Level.OFF, why=alert.held_reason)
    level = {"critical": Level.CRITICAL, "warning": Level.WARNING}.get(alert.severity, Level.UNKNOWN)
    if alert.flapping_since is not None:
        why = _("it keeps going on and off; it ends after 15 minutes without a change")
        return Standing(alert=alert, word=_("Flapping"), level=level, why=why)
    if alert.acknowledged_at is not None or alert.incident_number in taken:
        return Standing(alert=alert, word=_("Acknowledged"), level=level, why=alert.acknowledged_reason)
    return Standing(alert=alert, word=str(alert.get_severity_display()), level=level)


def _unknown(alert: Alert, now: datetime, probed: dict[int, datetime | None]) -> str | None:
    """Return why nobody knows whether the alert still holds; ``None`` when it was measured lately."""
    if alert.subject.startswith("endpoint:"):
        at, limit = probed.get(int(alert.subject.partition(":")[2])), PROBE_STALE_S
    elif alert.service is not None:
        state = getattr(alert.service, "state", None)
        at, limit = (state.at if state else None), STALE_AFTER_S
        if state is not None and state.state == RunState.UNKNOWN:
            return state.error or _("no data")
        if state is not None and state.state != RunState.RUNNING:
            return None
    else:
        return None
    if at is None:
        return _("no data")
    age = round((now - at).total_seconds())
    return _("last measured %(age)d s ago") % {"age": age} if age > limit else None


@viewer_required
@require_http_methods(["GET", "POST"])
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """One alert: how it stands; on POST by an operator, acknowledge or silence it with a reason."""
    found = get_object_or_404(_alerts(), pk=pk)
    if request.method == "POST":
        if not request.user.has_perm(OPERATE):
            raise PermissionDenied
        return _act(request, found)
    (row,) = standings([found], timezone.now())
    return render(
        request,
        "portal/alert.html",
        {
            "title": _("Alert"),
            "row": row,
            "alert": found,
            "facts": _facts(found),
            "hours": SILENCE_HOURS,
            "reason_max": REASON_MAX,
        },
    )


def _facts(found: Alert) -> list[tuple[str, str]]:
    detail = found.detail if isinstance(found.detail, dict) else {}
    return [(str(key), str(detail[key])) for key in sorted(detail) if detail[key] not in (None, "")][:40]


def _act(request: HttpRequest, found: Alert) -> HttpResponse:
    reason = request.POST.get("reason", "").strip()[:REASON_MAX]
    actor = request.user if isinstance(request.user, AbstractBaseUser) else None
    now = timezone.now()
    if not reason:
        messages.error(request, _("Give a reason; it is kept and shown."))
    elif request.POST.get("verb") == "acknowledge":
        try:
            with transaction.atomic():
                alerting.acknowledge(found, reason=reason, at=now, actor=actor)
                target = f"{found.rule.name} | {found.name}"
                audit.record(action="alert.acknowledge", actor=actor, target=target, reason=reason, at=now)
        except ValueError:
            messages.info(request, _("The alert is closed already."))
        else:
            messages.success(request, _("The alert is acknowledged; it is not repeated until it recovers."))
    elif request.POST.get("verb") == "silence":
        _silence(request, found, reason, now)
    else:
        messages.error(request, _("Unknown action."))
    return redirect("alert", pk=found.pk)


def _silence(request: HttpRequest, found: Alert, reason: str, now: datetime) -> None:
    given = request.POST.get("hours", "")
    if given not in map(str, SILENCE_HOURS):
        messages.error(request, _("Choose how long the silence lasts."))
        return
    row = Silence(
        service_pattern=quiet.literal(found.name),
        rule_pattern="*" if request.POST.get("scope") == "service" else quiet.literal(found.rule.name),
        starts_at=now,
        until=now + timedelta(hours=int(given)),
        reason=reason,
        created_by=request.user if request.user.is_authenticated else None,
    )
    try:
        row.full_clean()
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return
    with transaction.atomic():
        row.save()
        audit.record(
            action="alert.silence",
            actor=row.created_by,
            target=f"{row.rule_pattern} | {row.service_pattern}",
            reason=reason,
            after={"until": row.until},
            at=now,
        )
    messages.success(request, _("Silenced. What still fails at its end opens an incident then."))
