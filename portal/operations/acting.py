"""An operator's action from wish to result: a page calls :func:`request`, the ops worker :func:`perform`.

Asking is serialised at the service's row, and a constraint allows one action at a time on a service. An
action is claimed once and never repeated: what a killed worker left is settled by ``operations.settle``.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from incidents import audit, evidence_more, services
from incidents.action_words import verb as verb_word
from incidents.errors import IncidentError
from incidents.models import OPEN_STATES, REAL, Incident, State, TimelineKind
from portal.monitoring.models import Service
from portal.monitoring.runtimes.base import (
    Found,
    Runtime,
    RuntimeProblem,
    RuntimeUnavailable,
    ServiceMissing,
)
from portal.operations.live import ask
from portal.operations.models import UNDER_WAY, ActionState, OperatorAction
from portal.operations.permits import CHECK, COUNTED, VERBS, WINDOW, TooSoon, permitted, too_soon

logger = logging.getLogger(__name__)

TASK = "operations.act"
#: Seconds after which a wish that no worker took is given up.
TAKEN_WITHIN_S = 60.0
#: Seconds to look for the service, and to act: a stop has 10 s of grace.
LOOK_S = 5.0
ACT_S = 20.0
REASON_MAX = 500
NOTE_MAX = 500
OWN_LABEL = "bonghwa.own"


class ActionRefused(Exception):
    """It is not done; the message says why, and who was first or when it is possible."""


def request(
    *,
    service: Service,
    verb: str,
    reason: str,
    actor: AbstractBaseUser,
    at: datetime,
    incident: Incident | None = None,
) -> OperatorAction:
    """Record what ``actor`` asks for and hand it to the ops worker.

    Without an open ``incident``, the newest open incident of the service is taken.

    Raises:
        ActionRefused: another action is under way, the budget is spent, or something is missing.
    """
    reason = reason.strip()[:REASON_MAX]
    with transaction.atomic():
        # The queue: two who press at once come here one after the other.
        service = Service.objects.select_for_update().get(pk=service.pk)
        incident = _about(incident, service)
        refusal = _refusal(service, verb, reason, at)
        action = OperatorAction.objects.create(
            service=service,
            service_name=service.name,
            incident=incident,
            verb=verb if verb in VERBS else "",
            reason=reason,
            user_id=actor.pk,
            username=actor.get_username(),
            state=ActionState.REFUSED if refusal else ActionState.REQUESTED,
            requested_at=at,
            finished_at=at if refusal else None,
            note=refusal[:NOTE_MAX],
        )
        tell(action, "refused" if refusal else "requested", at=at, actor=actor, note=refusal)
        if not refusal:
            transaction.on_commit(lambda: _send(action.pk))
    if refusal:
        raise ActionRefused(refusal)
    return action


def _refusal(service: Service, verb: str, reason: str, at: datetime) -> str:
    """Return why it is not done, empty when it may be."""
    if verb not in VERBS:
        return _("Unknown action.")
    if not reason and verb != CHECK:
        return _("Give a reason; it is kept.")
    if (other := OperatorAction.objects.filter(service=service, state__in=UNDER_WAY).first()) is not None:
        given = {
            "who": other.username,
            "verb": verb_word(other.verb),
            "seconds": max(0, round((at - other.requested_at).total_seconds())),
        }
        return _("%(who)s pressed %(verb)s %(seconds)d s ago, and it is under way.") % given
    return early(service, verb, at)


def early(service: Service, verb: str, at: datetime, but: int | None = None) -> str:
    """Return why ``verb`` is too early for ``service``, empty when it is not; ``but`` is not counted."""
    found = too_early(service, verb, at, but)
    if found is None:
        return ""
    clock = timezone.localtime(found.until).strftime("%H:%M:%S %Z")
    if found.spent:
        text = _(
            "It was restarted %(n)d times in 30 minutes; another one would not help. Possible from %(at)s."
        )
        return text % {"n": found.count, "at": clock}
    return _("It was restarted a moment ago; give it time to start. Possible from %(at)s.") % {"at": clock}


def too_early(service: Service, verb: str, at: datetime, but: int | None = None) -> TooSoon | None:
    """Return why ``verb`` is too early for ``service``. One query."""
    if verb not in COUNTED:
        return None
    done = OperatorAction.objects.filter(
        service=service, verb__in=COUNTED, requested_at__gt=at - WINDOW
    ).exclude(pk=but or 0)
    # One that failed in the middle may have stopped the service, and counts.
    done = done.exclude(state=ActionState.REFUSED).exclude(state=ActionState.FAILED, acted_at=None)
    times = list(done.order_by("-requested_at").values_list("requested_at", flat=True)[:100])
    return too_soon(times, now=at, budget=settings.ACTION_BUDGET, spacing_s=settings.ACTION_SPACING)


def _incident_of(service: Service) -> Incident | None:
    open_now = Incident.objects.filter(REAL, state__in=OPEN_STATES).order_by("-number")[:200]
    return next((one for one in open_now if service.name in one.services), None)


def _about(given: Incident | None, service: Service) -> Incident | None:
    """Return the incident that an action belongs to: nothing is added to one that was closed or merged."""
    if given is not None and given.is_open:
        return given
    found = _incident_of(service)
    if found is not None or given is None or given.state == State.CLOSED or given.merged_into_id is not None:
        return found
    return given


def _send(pk: int) -> None:
    try:
        current_app.send_task(TASK, args=[pk], queue="ops", expires=TAKEN_WITHIN_S, retry=False)
    except OperationalError as error:
        logger.warning("broker does not answer: %s", error)
        if claim(pk, ActionState.REQUESTED, ActionState.FAILED, finished_at=timezone.now()):
            finish(pk, ActionState.FAILED, _("The broker does not answer; nothing was done."))


def claim(pk: int, old: ActionState, new: ActionState, **fields: Any) -> bool:
    """Move an action from ``old`` to ``new``; False when somebody else did."""
    return bool(OperatorAction.objects.filter(pk=pk, state=old).update(state=new, **fields))


def finish(pk: int, state: ActionState, note: str, **fields: Any) -> None:
    """Write the result of an action that was claimed, and tell it."""
    now = timezone.now()
    with transaction.atomic():
        changed = {"state": state, "note": note[:NOTE_MAX], "finished_at": now, **fields}
        OperatorAction.objects.filter(pk=pk).update(**changed)
        action = OperatorAction.objects.select_related("incident", "service").get(pk=pk)
        tell(action, state.value, at=now, note=note)


def tell(
    action: OperatorAction,
    outcome: str,
    *,
    at: datetime,
    actor: AbstractBaseUser | None = None,
    note: str = "",
) -> None:
    """Put an outcome of ``action`` on the incident's timeline and into the audit."""
    verb = action.verb or "unknown"
    if action.incident is not None:
        services.record(
            incident=action.incident,
            kind=TimelineKind.ACTION,
            at=at,
            actor=actor,
            verb=verb,
            subject=action.service_name,
            outcome=outcome,
            reason=action.reason if outcome == "requested" else "",
            note=note[:NOTE_MAX],
        )
    audit.record(
        action=f"service.{verb}" if outcome == "requested" else f"service.{verb}.{outcome}",
        actor=actor,
        target=action.service_name,
        reason=action.reason,
        after={
            "action": action.pk,
            "incident": action.incident.number if action.incident else None,
            "asked_by": action.username,
            "note": note[:NOTE_MAX],
        },
        at=at,
    )


def perform(pk: int) -> None:
    """Do one action that was asked for: look, freeze evidence, act, tell. Only the ops worker calls it."""
    now = timezone.now()
    fresh = OperatorAction.objects.filter(requested_at__gte=now - timedelta(seconds=TAKEN_WITHIN_S))
    if not fresh.filter(pk=pk).exists():
        return
    if not claim(pk, ActionState.REQUESTED, ActionState.RUNNING, started_at=now):
        return
    action = OperatorAction.objects.select_related("incident", "service").get(pk=pk)
    try:
        service, found = _allowed(action, now)
    except ActionRefused as refusal:
        finish(pk, ActionState.REFUSED, str(refusal))
        return
    except RuntimeProblem as error:
        finish(pk, ActionState.FAILED, _("%(error)s; nothing was done") % {"error": error})
        return
    if action.verb == CHECK:
        _check(pk, service, found)
        return
    evidence_note = _freeze(action)
    OperatorAction.objects.filter(pk=pk).update(evidence_note=evidence_note, acted_at=timezone.now())
    began = timezone.now()
    try:
        ask(service, _order(action.verb, found.runtime_id), ACT_S)
    except RuntimeUnavailable as error:
        finish(pk, ActionState.UNKNOWN, str(error), evidence_note=evidence_note)
        return
    except ServiceMissing as error:
        finish(pk, ActionState.FAILED, str(error), evidence_note=evidence_note, acted_at=None)
        return
    except RuntimeProblem as error:
        finish(pk, ActionState.FAILED, str(error), evidence_note=evidence_note)
        return
    ended = timezone.now()
    note = _("in %(seconds).1f s") % {"seconds": (ended - began).total_seconds()}
    due = ended + timedelta(seconds=settings.ACTION_CHECK_AFTER) if action.verb in COUNTED else None
    finish(pk, ActionState.DONE, f"{note} · {evidence_note}", check_due_at=due, acted_at=began)
    if action.incident is not None and action.verb in COUNTED:
        _mitigate(action.incident.pk, action, ended)


def _allowed(action: OperatorAction, now: datetime) -> tuple[Service, Found]:
    """Return the service that the action means, and what runs under its name, once it is allowed.

    Raises:
        ActionRefused: its label, the worker's environment or the budget does not allow it.
        RuntimeProblem: it is not there, or the runtime does not answer.
    """
    service = action.service
    if service is None:
        raise ActionRefused(_("The service was removed."))
    listed = ask(service, lambda runtime, _id: runtime.list(), LOOK_S)
    found = next((one for one in listed if one.name == service.name), None)
    if found is None:
        raise ServiceMissing(f"{service.name}: no such service")
    if action.verb not in allowed_verbs(service.runtime, found.name, found.labels, is_own(found)):
        raise ActionRefused(not_allowed(service))
    if refusal := early(service, action.verb, now, but=action.pk):
        raise ActionRefused(refusal)
    return service, found


def not_allowed(service: Service) -> str:
    """Return what to do so that ``service`` may be acted on."""
    given = {"name": service.name, "target": f"{service.runtime}:{service.name}"}
    text = _(
        "%(name)s does not allow it: give its container the label bonghwa.actions=restart,stop,start, or "
        "list %(target)s in ACTION_TARGETS of the ops worker."
    )
    return text % given


def allowed_verbs(runtime: str, name: str, labels: Mapping[str, str], own: bool) -> frozenset[str]:
    """Return what may be done, by this process's environment."""
    return permitted(runtime=runtime, name=name, labels=labels, targets=settings.ACTION_TARGETS, own=own)


def is_own(found: Found) -> bool:
    """Whether a service is a part of Bonghwa: it says so, or this process runs in it."""
    host = socket.gethostname()
    inside = len(host) == 12 and found.runtime_id.startswith(host)
    return inside or found.labels.get(OWN_LABEL, "").lower() in ("true", "1", "yes", "on")


def _order(verb: str, runtime_id: str) -> Callable[[Runtime, str], None]:
    """Return the call for ``verb`` on what runs now, whatever the row says its id is."""

    def give(runtime: Runtime, _known_id: str) -> None:
        {"restart": runtime.restart, "stop": runtime.stop, "start": runtime.start}[verb](runtime_id)

    return give


def _check(pk: int, service: Service, found: Found) -> None:
    """Ask for the health check's verdict now."""
    try:
        seen = ask(service, lambda runtime, _id: runtime.inspect(found.runtime_id), LOOK_S)
    except RuntimeProblem as error:
        finish(pk, ActionState.FAILED, str(error))
        return
    parts = [str(seen.state.label), str(seen.health.status.label)]
    if seen.health.failing_streak:
        parts.append(_("failing streak %(n)d") % {"n": seen.health.failing_streak})
    if seen.health.output:
        parts.append(" ".join(seen.health.output.split())[:200])
    finish(pk, ActionState.DONE, " · ".join(parts))


def _freeze(action: OperatorAction) -> str:
    """Freeze evidence before it is destroyed; whatever goes wrong, the action goes on."""
    if action.incident is None:
        return _("no open incident, so no evidence was frozen")
    try:
        kept = evidence_more.before_action(incident=action.incident, now=timezone.now())
    except Exception as error:
        # A person waits for the restart; why there is no evidence is told.
        logger.exception("evidence before %s of %s failed", action.verb, action.service_name)
        return _("evidence failed: %(error)s") % {"error": type(error).__name__}
    if kept is None:
        given = {"n": evidence_more.ACTIONS_MAX}
        return _("no evidence: what was frozen before %(n)d earlier actions is kept") % given
    return _("evidence first: %(n)d bundles") % {"n": len(kept)}


def _mitigate(incident_pk: int, action: OperatorAction, at: datetime) -> None:
    """Restarted is mitigated, not resolved."""
    incident = Incident.objects.get(pk=incident_pk)
    if incident.state not in (State.DETECTED, State.ACKNOWLEDGED):
        return
    reason = _("%(name)s: %(verb)s by %(who)s") % {
        "name": action.service_name,
        "verb": verb_word(action.verb),
        "who": action.username,
    }
    with suppress(IncidentError):
        services.mitigate(incident=incident, at=at, reason=reason)
