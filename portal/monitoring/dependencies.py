"""Which failing service a failure comes from, by ``depends_on`` and the label ``bonghwa.depends-on``.

Nothing waits for a cause to show: an alert whose cause already looks bad opens the cause's incident, and
one that fired first moves there as soon as the cause fires (:func:`adopt`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from incidents.merging import move_signals
from incidents.models import OPEN_STATES, Incident
from portal.monitoring import labels
from portal.monitoring.models import Alert, Endpoint, Health, RuleKind, RunState, Service, ServiceState

#: Steps from a service to its causes, and services looked at on the way.
MAX_DEPTH = 5
MAX_SERVICES = 200
#: A cause that fires so long after its dependents still takes their incidents over.
ADOPT_WITHIN = timedelta(minutes=5)

#: What a service says when something that it needs is gone.
SUPPRESSIBLE = frozenset({
    RuleKind.FAILING_STREAK, RuleKind.CPU, RuleKind.LOG_FLOOD, RuleKind.TEMPLATE_SHARE,
    RuleKind.TEMPLATE_RISING, RuleKind.PROBE, RuleKind.LATENCY, RuleKind.RESTARTS, RuleKind.DOWN,
    RuleKind.CRASH, RuleKind.SILENT,
})  # fmt: skip
#: What makes a service unable to serve those that need it, and what does so when it is critical.
CAUSES = frozenset({RuleKind.FAILING_STREAK, RuleKind.PROBE, RuleKind.RESTARTS, RuleKind.DOWN, RuleKind.OOM})
CRITICAL_CAUSES = frozenset({RuleKind.CPU, RuleKind.MEMORY_LIMIT, RuleKind.LOG_FLOOD})


def fingerprint(service: Service) -> str:
    """Return the fingerprint of the incidents of ``service``."""
    return f"service:{service.runtime}:{service.name}"


def is_cause(alert: Alert) -> bool:
    """Whether ``alert`` can be why others fail."""
    kind = alert.rule.kind
    return kind in CAUSES or (kind in CRITICAL_CAUSES and alert.severity == "critical")


def root_of(service: Service) -> Service | None:
    """Return the failing service farthest up that ``service`` depends on, ``None`` when none fails.

    A service that others already depend on for their incident is a root itself, so a ring has one.
    """
    levels = _walk([service], _parents)
    if not levels or Alert.objects.filter(closed_at=None, suppressed_by=service).exists():
        return None
    failing = _failing([parent for level in levels for parent in level])
    for level in reversed(levels):
        for parent in level:
            if parent.pk in failing:
                return parent
    return None


def adopt(root: Alert, *, at: datetime) -> int:
    """Move what dependents of the cause ``root`` opened lately into its incident; return how many alerts."""
    if root.incident_number is None or root.service is None:
        return 0
    target = Incident.objects.filter(number=root.incident_number, state__in=OPEN_STATES).first()
    if target is None:
        return 0
    children = [child for level in _walk([root.service], _children) for child in level]
    if not children:
        return 0
    held = (
        Alert.objects.filter(closed_at=None, service__in=children, rule__kind__in=SUPPRESSIBLE)
        .filter(opened_at__gte=at - ADOPT_WITHIN, incident_number__isnull=False)
        .exclude(incident_number=target.number)
        .order_by("pk")
    )
    by_incident: dict[int, list[Alert]] = {}
    for alert in held:
        by_incident.setdefault(alert.incident_number or 0, []).append(alert)
    moved = 0
    for number, alerts in by_incident.items():
        source = Incident.objects.filter(number=number, state__in=OPEN_STATES).first()
        if source is None:
            continue
        moved += move_signals(source=source, target=target, keys=[one.signal_key for one in alerts], at=at)
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(
            suppressed_by=root.service, incident_number=target.number, fingerprint=target.fingerprint
        )
    return moved


def _walk(
    start: Sequence[Service], step: Callable[[Sequence[Service]], Iterable[Service]]
) -> list[list[Service]]:
    """Return the services reached by each ``step``, nearest first, each one once and bounded."""
    seen = {service.pk for service in start}
    levels: list[list[Service]] = []
    here = list(start)
    while here and len(levels) < MAX_DEPTH and len(seen) < MAX_SERVICES:
        here = [one for one in {one.pk: one for one in step(here)}.values() if one.pk not in seen]
        here = here[: MAX_SERVICES - len(seen)]
        seen |= {service.pk for service in here}
        if here:
            levels.append(here)
    return levels


def _parents(services: Sequence[Service]) -> Iterable[Service]:
    named = Q(dependents__in=services)
    for service in services:
        if names := labels.depends_on(service.labels):
            named |= Q(runtime=service.runtime, name__in=names)
    return Service.objects.filter(named, enabled=True).select_related("state").distinct()[:MAX_SERVICES]


def _children(services: Sequence[Service]) -> Iterable[Service]:
    found = list(Service.objects.filter(depends_on__in=services).distinct()[:MAX_SERVICES])
    names = {(service.runtime, service.name) for service in services}
    labelled = Service.objects.filter(labels__has_key=labels.DEPENDS_ON)[:MAX_SERVICES]
    return found + [
        child
        for child in labelled
        if any((child.runtime, name) in names for name in labels.depends_on(child.labels))
    ]


def _failing(services: Sequence[Service]) -> set[int]:
    """Return which of ``services`` fail: an open alert that can be a cause, or what was last seen of them.

    A service whose alerts are put down to another one is no root.
    """
    alerts = Alert.objects.filter(closed_at=None, service__in=services).select_related("rule")
    open_alerts = list(alerts[:MAX_SERVICES])
    suppressed = {alert.service_id for alert in open_alerts if alert.suppressed_by_id}
    failing = {alert.service_id for alert in open_alerts if is_cause(alert)}
    failing |= set(
        Endpoint.objects.filter(service__in=services, enabled=True, ok=False).values_list(
            "service_id", flat=True
        )[:MAX_SERVICES]
    )
    failing |= {service.pk for service in services if _looks_bad(getattr(service, "state", None))}
    return {number for number in failing if number is not None} - (suppressed - {None})


def _looks_bad(state: ServiceState | None) -> bool:
    """Whether the last reading shows a service that cannot serve; *unknown* shows nothing."""
    if state is None or state.state == RunState.UNKNOWN:
        return False
    if state.state != RunState.RUNNING:
        return True
    return state.health == Health.UNHEALTHY or (state.failing_streak > 0 and state.health != Health.STARTING)
