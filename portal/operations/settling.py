"""What beat sees to: whether an action helped, what a killed worker left, and rows that are too old."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from incidents import services
from incidents.action_words import verb as verb_word
from incidents.models import Incident
from portal.monitoring.models import Alert, Health, RunState, ServiceState
from portal.operations.acting import TAKEN_WITHIN_S, claim, finish, tell
from portal.operations.models import UNDER_WAY, ActionState, Helped, OperatorAction
from portal.operations.permits import COUNTED

#: Seconds after which a running action has lost its worker: no task lives longer than 60 s.
LOST_AFTER_S = 75.0
#: Seconds that a reading newer than the action is waited for after the check was due.
READING_WITHIN_S = 120.0
#: Actions looked at in one sweep.
BATCH = 50
KEPT_FOR = timedelta(days=400)
MAX_ROWS = 20_000


def settle(*, now: datetime) -> None:
    """Do all of it once."""
    _give_up(now)
    for action in OperatorAction.objects.filter(
        state=ActionState.DONE, check_due_at__lte=now, checked_at=None
    ).select_related("incident", "service")[:BATCH]:
        _look(action, now)
    _prune(now)


def _give_up(now: datetime) -> None:
    """Settle what nobody works on; it is never done again."""
    waiting = OperatorAction.objects.filter(
        state=ActionState.REQUESTED, requested_at__lt=now - timedelta(seconds=TAKEN_WITHIN_S)
    )
    for pk in waiting.values_list("pk", flat=True)[:BATCH]:
        if claim(pk, ActionState.REQUESTED, ActionState.FAILED):
            finish(pk, ActionState.FAILED, _("No ops worker took it within a minute; nothing was done."))
    lost = OperatorAction.objects.filter(
        state=ActionState.RUNNING, started_at__lt=now - timedelta(seconds=LOST_AFTER_S)
    )
    for pk in lost.values_list("pk", flat=True)[:BATCH]:
        if claim(pk, ActionState.RUNNING, ActionState.UNKNOWN):
            finish(pk, ActionState.UNKNOWN, _("The worker ended in the middle; it is not repeated."))


def _look(action: OperatorAction, now: datetime) -> None:
    """Say whether the service is green some time after the action."""
    seen = effect(action)
    if seen is None:
        due = action.check_due_at or now
        if now < due + timedelta(seconds=READING_WITHIN_S):
            return
        seen = Helped.NO_DATA, _("it was not measured since")
    helped, note = seen
    fields = {"checked_at": now, "helped": helped, "check_note": note[:300]}
    with transaction.atomic():
        if action.incident is not None:
            # Every move locks the incident first and the audit last.
            Incident.objects.select_for_update().get(pk=action.incident.pk)
        if not OperatorAction.objects.filter(pk=action.pk, checked_at=None).update(**fields):
            return
        outcome = {Helped.YES: "helped", Helped.NO: "not_helped", Helped.NO_DATA: "no_data"}[helped]
        tell(action, outcome, at=now, note=note)
        if helped is Helped.NO:
            _take_back(action, now, note)


def _take_back(action: OperatorAction, now: datetime, note: str) -> None:
    """Move the incident that ``action`` mitigated back, since it did not help and an alert still fires."""
    if action.incident is None or action.finished_at is None or _tried_again(action):
        return
    reason = _("%(name)s: %(verb)s did not help: %(note)s") % {
        "name": action.service_name,
        "verb": verb_word(action.verb),
        "note": note,
    }
    services.unmitigate_if_firing(incident=action.incident, since=action.finished_at, at=now, reason=reason)


def _tried_again(action: OperatorAction) -> bool:
    """Whether a later action on the same incident is under way or not looked at yet; its look decides."""
    later = OperatorAction.objects.filter(
        incident=action.incident, pk__gt=action.pk, verb__in=COUNTED, checked_at=None
    )
    pending = Q(state=ActionState.DONE, check_due_at__isnull=False)
    return later.filter(Q(state__in=UNDER_WAY) | pending).exists()


def effect(action: OperatorAction) -> tuple[Helped, str] | None:
    """Return what the newest reading says, None while there is none since the action. Three queries."""
    service = action.service
    if service is None:
        return Helped.NO_DATA, _("the service was removed")
    state = ServiceState.objects.filter(service=service).first()
    acted = action.finished_at or action.requested_at
    if state is None or state.at <= acted or state.state == RunState.UNKNOWN:
        return None
    if state.state != RunState.RUNNING:
        return Helped.NO, str(RunState(state.state).label)
    if state.health == Health.STARTING:
        return None
    if state.health == Health.UNHEALTHY or state.failing_streak:
        return Helped.NO, _("health check fails, %(n)d in a row") % {"n": state.failing_streak}
    failing = service.endpoints.filter(ok=False, at__gt=acted).values_list("name", flat=True)[:3]
    if failing:
        return Helped.NO, _("probes fail: %(names)s") % {"names": ", ".join(failing)}
    # A rule that opens no incident only hints, and some of them look back over minutes before the action.
    alerts = Alert.objects.filter(
        service=service, closed_at=None, suppressed_by=None, rule__opens_incident=True
    )
    titles = alerts.values_list("rule__name", flat=True)[:3]
    if titles:
        return Helped.NO, _("alerts are open: %(names)s") % {"names": ", ".join(titles)}
    return Helped.YES, str(Health(state.health).label)


def _prune(now: datetime) -> None:
    OperatorAction.objects.filter(requested_at__lt=now - KEPT_FOR).delete()
    oldest = OperatorAction.objects.order_by("-pk").values_list("pk", flat=True)[MAX_ROWS : MAX_ROWS + 1]
    OperatorAction.objects.filter(pk__lte=max(oldest, default=0)).delete()
