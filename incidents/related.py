"""Incidents that may have to do with one: recurrences, merged and split ones, same service, log, or time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q

from incidents.models import REAL, Incident, IncidentSignal

#: Incidents that began this close to each other may have one cause.
SAME_TIME = timedelta(minutes=30)
#: Incidents listed, and newest incidents looked through for a shared service or log message.
SHOWN = 12
LOOKED_THROUGH = 200

RECURRENCE, RECURRED, MERGED, SPLIT, SPLIT_FROM = "recurrence", "recurred", "merged", "split", "split_from"
SERVICE, TEMPLATE, TIME = "service", "template", "time"


@dataclass(frozen=True, slots=True)
class Related:
    """An incident and why it is listed, the strongest reason first."""

    incident: Incident
    why: tuple[str, ...]


def related(incident: Incident, signals: Sequence[IncidentSignal] | None = None) -> list[Related]:
    """Return at most :data:`SHOWN` incidents, those with the most reasons first: four queries.

    ``signals`` are those of ``incident``, for a caller that has them already.
    """
    linked = Q(recurrence_of=incident) | Q(merged_into=incident) | Q(split_from=incident)
    named = [pk for pk in (incident.recurrence_of_id, incident.split_from_id) if pk]
    others = Incident.objects.filter(REAL).exclude(pk=incident.pk)
    found: dict[int, tuple[Incident, list[str]]] = {}
    for other in others.filter(linked | Q(pk__in=named))[:LOOKED_THROUGH]:
        found[other.pk] = (other, list(_links(incident, other)))
    recent = list(others.order_by("-opened_at")[:LOOKED_THROUGH])
    own = incident.signals.all()[: LOOKED_THROUGH * 5] if signals is None else signals
    mine = {text for one in own if (text := _template(one.detail))}
    templates = _templates(recent) if mine else {}
    for other in recent:
        why = found.setdefault(other.pk, (other, []))[1]
        if set(incident.services) & set(other.services):
            why.append(SERVICE)
        if mine & templates.get(other.pk, frozenset()):
            why.append(TEMPLATE)
        if abs(other.burning_since - incident.burning_since) <= SAME_TIME:
            why.append(TIME)
    listed = [Related(other, tuple(why)) for other, why in found.values() if why]
    listed.sort(key=lambda one: (not _is_linked(one), -len(one.why), -one.incident.number))
    return listed[:SHOWN]


def _links(incident: Incident, other: Incident) -> Iterable[str]:
    if incident.recurrence_of_id == other.pk:
        yield RECURRENCE
    if other.recurrence_of_id == incident.pk:
        yield RECURRED
    if other.merged_into_id == incident.pk:
        yield MERGED
    if other.split_from_id == incident.pk:
        yield SPLIT
    if incident.split_from_id == other.pk:
        yield SPLIT_FROM


def _is_linked(one: Related) -> bool:
    return one.why[0] in (RECURRENCE, RECURRED, MERGED, SPLIT, SPLIT_FROM)


def _templates(incidents: Iterable[Incident]) -> dict[int, frozenset[str]]:
    """Return the masked log messages that alerts of each incident named."""
    rows = IncidentSignal.objects.filter(incident__in=[one.pk for one in incidents])
    found: dict[int, set[str]] = {}
    for pk, detail in rows.values_list("incident", "detail")[: LOOKED_THROUGH * 5]:
        if template := _template(detail):
            found.setdefault(pk, set()).add(template)
    return {pk: frozenset(texts) for pk, texts in found.items()}


def _template(detail: object) -> str:
    named = (detail.get("template") or detail.get("top_template")) if isinstance(detail, dict) else None
    return str(named or "")
