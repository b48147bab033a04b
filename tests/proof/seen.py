"""What the product knows and has told, read from its own database and from the receiver."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from incidents.models import Delivery, DeliveryState, Incident, NotificationKind
from portal.monitoring.models import Alert, Endpoint, Health, RunState, RuntimeKind, ServiceState
from tests.receiver import Receiver


def fingerprint(name: str) -> str:
    """Return the fingerprint of the incidents of a container."""
    return f"service:{RuntimeKind.DOCKER.value}:{name}"


def incident_of(name: str) -> Incident | None:
    """Return the newest incident of a container."""
    return Incident.objects.filter(fingerprint=fingerprint(name)).order_by("-number").first()


def incidents_naming(name: str, since: datetime) -> list[Incident]:
    """Return the incidents that opened since then and hold a container's trouble, whatever their cause."""
    recent = Incident.objects.filter(opened_at__gte=since).order_by("number")
    return [one for one in recent if name in one.services or one.fingerprint == fingerprint(name)]


def others(names: Collection[str], since: datetime) -> list[Incident]:
    """Return the incidents since then that belong to none of ``names``."""
    known = {fingerprint(name) for name in names}
    recent = Incident.objects.filter(opened_at__gte=since, import_key=None).order_by("number")
    return [one for one in recent if one.fingerprint not in known]


def alerts_on(names: Collection[str], since: datetime, until: datetime | None = None) -> list[Alert]:
    """Return the alerts of these containers that opened in that time, incident or not."""
    found = Alert.objects.filter(service__name__in=names, opened_at__gte=since).order_by("opened_at")
    return list(found.filter(opened_at__lte=until) if until else found)


def not_yet_well(names: Collection[str]) -> list[str]:
    """Return which of ``names`` are not seen running, measured, healthy and passing yet."""
    states = {
        state.service.name: state
        for state in ServiceState.objects.filter(service__name__in=names).select_related("service")
    }
    waiting = []
    for name in names:
        state = states.get(name)
        measured = state is not None and state.state == RunState.RUNNING and state.cpu_percent is not None
        if state is None or not measured or state.health not in (Health.HEALTHY, Health.NONE):
            waiting.append(name)
    failing = Endpoint.objects.filter(service__name__in=names).exclude(ok=True)
    return waiting + [endpoint.name for endpoint in failing]


def unknown(names: Collection[str]) -> list[str]:
    """Return which of ``names`` are shown as unknown by their stored state."""
    found = ServiceState.objects.filter(service__name__in=names, state=RunState.UNKNOWN)
    return list(found.values_list("service__name", flat=True))


def deliveries(incident: Incident, *states: DeliveryState, **more: object) -> int:
    """Return how many deliveries about an incident are in one of these states."""
    return Delivery.objects.filter(message__incident=incident, state__in=states, **more).count()


def received(receiver: Receiver, incident: Incident) -> list[float]:
    """Return when messages about an incident arrived (unix time)."""
    word = f"INC-{incident.number} "
    return [one["arrived"] for one in list(receiver.messages) if word in f"{one['title']} "]


def delivered_once(receiver: Receiver, incident: Incident) -> str:
    """Return an empty text when each message that the outbox sent arrived once, else what is wrong.

    One whose end nobody saw, since the database was away just then, is *uncertain*: it may have arrived once.
    """
    ended = (DeliveryState.SENT, DeliveryState.UNCERTAIN)
    told, uncertain = (deliveries(incident, state) for state in ended)
    arrived = len(received(receiver, incident))
    opened = deliveries(incident, *ended, message__kind=NotificationKind.OPENED)
    resolved = deliveries(incident, *ended, message__kind=NotificationKind.RESOLVED)
    problems = []
    if not told <= arrived <= told + uncertain:
        problems.append(f"{told} sent, {uncertain} uncertain, {arrived} arrived")
    if opened != 1:
        problems.append(f"{opened} × opened")
    if resolved != (0 if incident.is_open else 1):
        problems.append(f"{resolved} × resolved")
    return ", ".join(problems)


__all__ = [
    "alerts_on",
    "delivered_once",
    "deliveries",
    "fingerprint",
    "incident_of",
    "incidents_naming",
    "not_yet_well",
    "others",
    "received",
    "unknown",
]
