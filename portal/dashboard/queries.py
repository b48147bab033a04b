"""Read side: a bounded number of queries into the dataclasses of ``portal.dashboard.data``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Count, F, QuerySet
from django.utils import timezone

from incidents.models import OPEN_STATES, REAL, ChecklistItem, Incident, ItemState
from portal.dashboard.data import RANK, AlertRow, Dashboard, IncidentRow, ItemRow, ServiceRow
from portal.dashboard.gateway import read_panel
from portal.monitoring.models import Alert, Endpoint, Service
from portal.monitoring.probes.wording import in_words

#: Rows that a page lists at most; older ones are found in the admin.
SERVICES_MAX = 500
INCIDENTS_MAX = 200
ALERTS_MAX = 500
ITEMS_MAX = 500
RECENT = 5
#: A removed service leaves the list after this long.
GONE_AFTER = timedelta(hours=1)


def dashboard(now: datetime | None = None) -> Dashboard:
    """Return the front page's data: six queries whatever the number of services, plus Redis."""
    now = now or timezone.now()
    opened = list(_incidents().filter(state__in=OPEN_STATES)[:INCIDENTS_MAX])
    recent = list(_incidents().exclude(state__in=OPEN_STATES)[:RECENT])
    states = ChecklistItem.objects.order_by().values_list("state").annotate(Count("pk"))
    return Dashboard(
        now=now,
        services=service_rows(now),
        gateway=read_panel(),
        incidents=tuple(incident_row(incident) for incident in opened),
        recent=tuple(incident_row(incident) for incident in recent),
        checklist=dict(states),
    )


def service_rows(
    now: datetime, services: Iterable[Service] | None = None, probed: Iterable[Endpoint] | None = None
) -> tuple[ServiceRow, ...]:
    """Return every watched service, worst first: three queries, four when ``services`` is not given.

    ``probed`` are the endpoints of ``services`` where the caller has them; that saves a query.
    """
    if services is None:
        services = Service.objects.filter(enabled=True).select_related("state")[:SERVICES_MAX]
    alerts: dict[int | None, list[AlertRow]] = defaultdict(list)
    for alert in Alert.objects.filter(closed_at=None).order_by("opened_at")[:ALERTS_MAX]:
        alerts[alert.service_id].append(
            AlertRow(
                text=alert.text,
                severity=alert.severity,
                opened_at=alert.opened_at,
                service_id=alert.service_id,
                incident=alert.incident_number,
            )
        )
    failing: dict[int | None, list[str]] = defaultdict(list)
    down: list[tuple[int | None, str, str]]
    if probed is None:
        endpoints = Endpoint.objects.filter(enabled=True, ok=False)
        down = list(endpoints.values_list("service_id", "name", "detail")[:ALERTS_MAX])
    else:
        down = [(one.service_id, one.name, one.detail) for one in probed if one.enabled and one.ok is False]
    for service_id, name, detail in down:
        failing[service_id].append(f"{name}: {in_words(detail)}" if detail else name)
    rows = [
        service_row(service, now, tuple(alerts[service.pk]), tuple(failing[service.pk]))
        for service in services
    ]
    shown = [row for row in rows if row.state != "gone" or (row.at and now - row.at < GONE_AFTER)]
    return tuple(sorted(shown, key=lambda row: (RANK[row.level], row.runtime, row.name)))


def service_row(
    service: Service, now: datetime, alerts: tuple[AlertRow, ...] = (), failing: tuple[str, ...] = ()
) -> ServiceRow:
    """Return one service's row; a service that was never measured has no data."""
    state = getattr(service, "state", None)
    numbers = [alert.incident for alert in alerts if alert.incident]
    return ServiceRow(
        id=service.pk,
        name=service.name,
        runtime=service.runtime,
        at=state.at if state else None,
        age_s=max(0.0, (now - state.at).total_seconds()) if state else None,
        state=state.state if state else "unknown",
        exit_code=state.exit_code if state else None,
        started_at=state.started_at if state else None,
        health=state.health if state else "none",
        failing_streak=state.failing_streak if state else 0,
        health_interval_s=state.health_interval_s if state else None,
        cpu_percent=state.cpu_percent if state else None,
        cpu_limit_cores=state.cpu_limit_cores if state else None,
        memory_bytes=state.memory_bytes if state else None,
        memory_limit_bytes=state.memory_limit_bytes if state else None,
        restart_count=state.restart_count if state else 0,
        log_lines_per_s=state.log_lines_per_s if state else None,
        log_rate_is_lower_bound=bool(state and state.log_rate_is_lower_bound),
        top_template=state.top_template if state else "",
        top_template_share=state.top_template_share if state else None,
        error=state.error if state else "",
        alerts=alerts,
        failing_endpoints=failing,
        incident=numbers[-1] if numbers else None,
    )


def _incidents() -> QuerySet[Incident]:
    return Incident.objects.filter(REAL).select_related("lead")


def incidents() -> tuple[IncidentRow, ...]:
    """Return the newest incidents: one query."""
    return tuple(incident_row(incident) for incident in _incidents()[:INCIDENTS_MAX])


def incident_row(incident: Incident) -> IncidentRow:
    """Return one incident's line; this causes no query when ``lead`` is joined."""
    return IncidentRow(
        number=incident.number,
        title=incident.title,
        severity=incident.severity,
        severity_label=str(incident.get_severity_display()),
        state=incident.state,
        state_label=str(incident.get_state_display()),
        services=tuple(map(str, incident.services)),
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        impact_started_at=incident.impact_started_at,
        lead=incident.lead.get_username() if incident.lead else "",
        is_open=incident.is_open,
    )


def checklist(incident: Incident | None = None) -> tuple[ItemRow, ...]:
    """Return checklist items, of one incident or of all: one query."""
    items = ChecklistItem.objects.select_related("report__incident", "owner")
    items = (
        items.filter(report__incident=incident)
        if incident
        else items.order_by(F("report").desc(nulls_last=True), "order", "pk")
    )
    today = timezone.localdate()
    done = (ItemState.VERIFIED, ItemState.WAIVED)
    return tuple(
        ItemRow(
            id=item.pk,
            incident=item.incident.number if item.incident else None,
            incident_title=item.incident.title if item.incident else "",
            text=item.text,
            priority=item.priority,
            state=item.state,
            state_label=str(item.get_state_display()),
            verifier=item.verifier,
            target=item.target,
            observed=item.observed,
            checked_at=item.checked_at,
            owner=item.owner.get_username() if item.owner else "",
            due=item.due,
            overdue=bool(item.due and item.due < today and item.state not in done),
        )
        for item in items[:ITEMS_MAX]
    )
