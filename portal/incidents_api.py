"""``/api/v1/incidents/NUMBER``: one incident with its clocks, timeline and links, and its moves."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from django.contrib.auth.models import User
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from ninja import Field, Path, Router, Schema
from ninja.errors import HttpError

from gateway.api import Problem
from incidents import duedates
from incidents.errors import IncidentError
from incidents.models import Incident
from incidents.related import related
from portal.dashboard import ledger, lifecycle
from portal.dashboard.access import EDIT, OPERATE

#: Newest timeline events sent.
TIMELINE_MAX = 300

#: What a column of numbers holds.
Number = Annotated[int, Path(ge=1, lt=2**31)]

router = Router()


class StepOut(Schema):
    """Time lost in one step; null is skipped or unknown."""

    step: str
    seconds: float | None
    running: bool
    share: float | None


class EventOut(Schema):
    """One timeline event; ``evidence`` is the id of the copy behind it."""

    id: int
    at: datetime
    kind: str
    text: str
    data: dict[str, Any]
    actor: str | None
    evidence: int | None
    starred: bool


class RelatedOut(Schema):
    """Another incident and why it is named."""

    number: int
    title: str
    why: list[str]


class IncidentDetailOut(Schema):
    """One incident. Durations are seconds: the impact until mitigated, the response until resolved."""

    number: int
    title: str
    severity: str
    state: str
    services: list[str]
    lead: str | None
    impact_started_at: datetime | None
    opened_at: datetime
    acknowledged_at: datetime | None
    mitigated_at: datetime | None
    resolved_at: datetime | None
    reviewed_at: datetime | None
    closed_at: datetime | None
    undetected_s: float | None
    impact_s: float | None
    response_s: float
    largest: str
    lost: list[StepOut]
    report_due: date | None
    recurrence_of: int | None
    merged_into: int | None
    split_from: int | None
    related: list[RelatedOut]
    timeline: list[EventOut]


class MoveIn(Schema):
    """A move of the lifecycle, by the name that its button has on the page, and the reason for it."""

    verb: Literal["acknowledge", "mitigate", "unmitigate", "resolve", "reopen", "review", "unreview", "close"]
    reason: str = Field("", max_length=lifecycle.REASON_MAX)


@router.post(
    "/incidents/{number}/moves",
    response={200: IncidentDetailOut, **dict.fromkeys((400, 401, 403, 404, 409, 422), Problem)},
    summary="Move an incident on, or take a step back",
)
def make_move(request: HttpRequest, number: Number, given: MoveIn) -> dict[str, Any]:
    """Move it as the page does, with the same rights, guards and traces; 409 says why it was refused."""
    user = request.user
    needed = EDIT if given.verb in lifecycle.EDITORS else OPERATE
    if not isinstance(user, User) or not (user.has_perm(OPERATE) and user.has_perm(needed)):
        raise HttpError(403, _("You may not do this."))
    found = get_object_or_404(Incident, number=number)
    try:
        lifecycle.MOVES[given.verb](
            incident=found, at=timezone.now(), actor=user, reason=given.reason.replace("\0", "").strip()
        )
    except IncidentError as error:
        raise HttpError(409, str(error)) from error
    return incident(request, number)


@router.get(
    "/incidents/{number}", response={200: IncidentDetailOut, 401: Problem, 404: Problem, 422: Problem}
)
def incident(request: HttpRequest, number: Number) -> dict[str, Any]:
    """One incident; one that was merged says into which, and keeps its own timeline."""
    joined = Incident.objects.select_related("lead", "recurrence_of", "merged_into", "split_from")
    found = get_object_or_404(joined, number=number)
    clocks = ledger.read(found, timezone.now())
    events = found.timeline.select_related("actor").order_by("-at", "-pk")[:TIMELINE_MAX]
    times = ("impact_started_at", "opened_at", "acknowledged_at", "mitigated_at", "resolved_at")
    return {
        **{name: getattr(found, name) for name in ("number", "title", "severity", "state", "services")},
        **{name: getattr(found, name) for name in (*times, "reviewed_at", "closed_at")},
        "lead": found.lead.get_username() if found.lead else None,
        "undetected_s": clocks.undetected_s,
        "impact_s": clocks.impact_s,
        "response_s": clocks.response_s,
        "largest": clocks.largest,
        "lost": [
            {"step": step.name, "seconds": step.seconds, "running": step.running, "share": step.share}
            for step in clocks.steps
        ],
        "report_due": duedates.report_due(found),
        **{
            name: other.number if (other := getattr(found, name)) else None
            for name in ("recurrence_of", "merged_into", "split_from")
        },
        "related": [
            {"number": one.incident.number, "title": one.incident.title, "why": list(one.why)}
            for one in related(found)
        ],
        "timeline": [
            {
                "id": event.pk,
                "at": event.at,
                "kind": event.kind,
                "text": event.text,
                "data": event.data,
                "actor": event.actor.get_username() if event.actor else None,
                "evidence": event.evidence_id,
                "starred": event.starred,
            }
            for event in events
        ],
    }
