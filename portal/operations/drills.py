"""Order, play, abort and settle drills. A row is the order and the result; ``manage.py drill`` plays it.

The process that plays is bounded by itself (:data:`gateway.drills.plan.LONGEST_S`) and says each two seconds
that it lives, so that a killed one is noticed.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime, timedelta

from celery import current_app
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from gateway.drills.plan import Measured, judge
from incidents import audit, checklist, services
from incidents.models import ChecklistItem, Incident, RunTrigger, TimelineKind
from portal.monitoring.logs import safe_line
from portal.operations import drill_compare, drill_flood, drill_verifiers
from portal.operations.models import DrillKind, DrillRun, DrillState

logger = logging.getLogger(__name__)

TASK = "operations.run_drill"
#: An order that no worker took, and a player that gave no sign of life for so long, are over.
TAKEN_WITHIN = timedelta(seconds=60)
SILENT_FOR = timedelta(seconds=30)
#: Drills kept, characters of a reason, checklist items that one drill verifies.
KEPT, REASON_MAX, ITEMS_MAX = 200, 300, 100


class DrillRefused(Exception):
    """The drill cannot be started; the text says why."""


def start(
    *, drill: str, reason: str, now: datetime, by: AbstractBaseUser | None, incident: Incident | None = None
) -> DrillRun:
    """Order a drill.

    Raises:
        DrillRefused: another one runs, there is no such drill, or no reason.
    """
    if drill not in DrillKind.values:
        raise DrillRefused(_("There is no such drill; choose one of %(names)s.") % {"names": _names()})
    reason = safe_line(reason).strip()[:REASON_MAX]
    if not reason:
        raise DrillRefused(_("Give a reason; it is kept with the result."))
    settle(now=now)
    try:
        with transaction.atomic():
            run = DrillRun.objects.create(
                drill=drill,
                reason=reason,
                started_at=now,
                requested_by_id=None if by is None else by.pk,
                username="" if by is None else by.get_username(),
                incident=incident,
                frozen=drill_compare.frozen_numbers(incident) if incident else {},
            )
            _note(run, now, by, "requested", reason=reason)
    except IntegrityError as error:
        raise DrillRefused(_("Another drill is running; wait for its end, or abort it.")) from error
    old = DrillRun.objects.order_by("-pk").values_list("pk", flat=True)[KEPT : KEPT + 1]
    if old:
        DrillRun.objects.filter(pk__lte=old[0]).exclude(state=DrillState.RUNNING).delete()
    return run


def enqueue(run: DrillRun) -> bool:
    """Ask the ``ops`` worker to play ``run``; False when the broker does not answer, then it is over."""
    try:
        expires = TAKEN_WITHIN.total_seconds()
        current_app.send_task(TASK, args=[run.pk], queue="ops", expires=expires, retry=False)
    except OperationalError:
        _end(run, DrillState.BROKEN, run.started_at, detail=_("The broker does not answer."))
        return False
    return True


def launch(pk: int) -> None:
    """Start the process that plays the order ``pk``. It stays in the worker's group and stops with it."""
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "drill", "--run", str(pk)]
    subprocess.Popen(command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL)  # noqa: S603 - our own program


def claim(pk: int, now: datetime) -> DrillRun | None:
    """Take an order; None when it is over or another process has it."""
    waiting = DrillRun.objects.filter(pk=pk, state=DrillState.RUNNING, taken_at=None)
    if not waiting.update(taken_at=now, seen_at=now):
        return None
    return DrillRun.objects.select_related("incident").get(pk=pk)


@transaction.atomic
def ask_abort(run: DrillRun, *, now: datetime, by: AbstractBaseUser | None) -> bool:
    """Ask for the end of a drill; one that nobody plays yet is over at once. False when it was over."""
    who = "" if by is None else by.get_username()
    asked = DrillRun.objects.filter(pk=run.pk, state=DrillState.RUNNING, abort_asked_at=None)
    won = bool(asked.update(abort_asked_at=now, aborted_by=who))
    if won:
        _note(run, now, by, "abort")
        waiting = DrillRun.objects.filter(pk=run.pk, state=DrillState.RUNNING, taken_at=None)
        waiting.update(state=DrillState.ABORTED, ended_at=now)
    return won


def beat(pk: int, measured: Measured, now: datetime) -> bool:
    """Keep the figures so far; False once the drill should end."""
    running = DrillRun.objects.filter(pk=pk, state=DrillState.RUNNING)
    running.update(measured=measured.as_json(), seen_at=now)
    return running.filter(abort_asked_at=None).exists()


def finish(run: DrillRun, measured: Measured, now: datetime) -> DrillRun:
    """Write the result, once, and verify the checklist items that take this drill as their evidence."""
    checks = drill_flood.judge(measured) if run.drill == DrillKind.LOG_FLOOD else judge(measured)
    state = DrillState.PASSED if all(check.met for check in checks) else DrillState.FAILED
    figures = {"measured": measured.as_json(), "checks": [asdict(check) for check in checks]}
    if _end(run, state, now, **figures):
        items = bound_items(run.drill)
        if run.drill == DrillKind.RETRY_STORM:
            items += drill_verifiers.retry_items()
        checklist.verify_items(items=items, now=now, trigger=RunTrigger.CHANGE)
    return run


def give_up(run: DrillRun, state: DrillState, now: datetime, detail: str) -> None:
    """End a drill without a result (``aborted`` or ``broken``): the checklist is left alone."""
    _end(run, state, now, detail=detail[:300])


def settle(*, now: datetime) -> int:
    """End drills that no worker took or whose player is gone; return how many."""
    running = DrillRun.objects.filter(state=DrillState.RUNNING)
    late = running.filter(taken_at=None, started_at__lt=now - TAKEN_WITHIN)
    gone = running.filter(seen_at__lt=now - SILENT_FOR)
    ended = 0
    for found, detail in (
        (late, _("No worker took it within a minute.")),
        (gone, _("The process that played it is gone.")),
    ):
        ended += sum(_end(run, DrillState.BROKEN, now, detail=detail) for run in found[:10])
    return ended


def bound_items(drill: str) -> list[ChecklistItem]:
    """Return the checklist items that take this drill as their evidence, at most :data:`ITEMS_MAX`."""
    items = ChecklistItem.objects.filter(verifier=drill_verifiers.NAME).select_related("report__incident")
    default = DrillKind.RETRY_STORM.value
    return [item for item in items.order_by("pk") if item.parameters.get("drill", default) == drill][
        :ITEMS_MAX
    ]


@transaction.atomic
def attach(item: ChecklistItem, run: DrillRun, *, by: AbstractBaseUser | None, now: datetime) -> None:
    """Make the drills of ``run``'s kind the evidence of ``item``, and look at once.

    What another verifier had seen counts no more.

    Raises:
        IncidentChanged: somebody else changed the item first.
    """
    item.verifier = drill_verifiers.NAME
    item.parameters = {"drill": run.drill, "days": drill_verifiers.DAYS}
    item.save(update_fields=["verifier", "parameters"])
    checklist.forget(item=item, at=now, actor=by)
    checklist.record_run(
        item=item,
        verdict=drill_verifiers.newest(item.target, item.parameters),
        now=now,
        trigger=RunTrigger.PERSON,
    )
    _note(run, now, by, "attached", note=item.text)


def _end(run: DrillRun, state: DrillState, now: datetime, **values: object) -> bool:
    values |= {"state": state, "ended_at": now}
    with transaction.atomic():
        if not DrillRun.objects.filter(pk=run.pk, state=DrillState.RUNNING).update(**values):
            return False
        run.refresh_from_db()
        figures = run.figures
        words = run.detail or (drill_compare.now(figures) if figures else "")
        _note(run, now, None, "not_passed" if state is DrillState.FAILED else state.value, note=words)
    logger.info("drill %d (%s): %s %s", run.pk, run.drill, state, run.detail)
    return True


def _note(
    run: DrillRun,
    at: datetime,
    by: AbstractBaseUser | None,
    outcome: str,
    *,
    reason: str = "",
    note: str = "",
) -> None:
    """Write it to the audit, and to the timeline of the incident that the drill is about."""
    if run.incident is not None:
        services.record(
            incident=run.incident,
            kind=TimelineKind.ACTION,
            at=at,
            actor=by,
            verb="drill",
            subject=run.drill,
            outcome=outcome,
            reason=reason,
            note=note[:300],
        )
    after = {"drill": run.pk, "incident": run.incident.number if run.incident else None, "note": note[:300]}
    action = f"drill.{outcome}"
    audit.record(action=action, actor=by, target=run.drill, reason=reason, after=after, at=at)


def _names() -> str:
    return ", ".join(DrillKind.values)
