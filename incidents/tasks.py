"""Celery tasks of the ``ops`` queue. Each takes a Redis lock, so that overlapping beats do not pile up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import redis
from celery import shared_task
from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from redis.exceptions import LockNotOwnedError
from redis.lock import Lock

from incidents import (
    audit,
    checklist,
    duedates,
    evidence_more,
    followups,
    lines,
    notifications,
    outbox,
    queue,
    services,
    texts,
)
from incidents.models import OPEN_STATES, REAL, ChecklistItem, Incident, RunTrigger, State
from incidents.reports.drafting import draft_report, findings

logger = logging.getLogger(__name__)

#: A freeze that nobody began this long after the opening is asked for again.
FREEZE_LATE = timedelta(seconds=30)
#: A freeze without a draft after this long died with its worker: no task lives longer than 60 s.
FREEZE_LOST = timedelta(seconds=90)
#: A lost freeze is begun again until so long after the opening, and while resolved at most as long.
FREEZE_TRIED = timedelta(minutes=10)
#: Incidents whose freeze is asked for in one sweep.
FREEZE_BATCH = 20
#: Checklist items verified by one request, and seconds after which no other one is begun: a task lives 45 s.
VERIFY_BATCH = 100
VERIFY_BUDGET_S = 30.0


@shared_task(name=queue.DELIVER, ignore_result=True)
def deliver() -> None:
    """Write reminders and changes that are due, and send every message that is due."""
    with only_one("incidents.deliver", settings.CELERY_TASK_TIME_LIMIT) as won:
        if not won:
            return
        now = timezone.now()
        followups.remind(now=now)
        followups.tell_changes(now=now)
        notifications.deliver(now=now, urls=settings.NOTIFY_URLS)


@shared_task(name="incidents.resolve_green", ignore_result=True)
def resolve_green() -> None:
    """Resolve what has been green for its window, and ask again for a freeze that was lost."""
    with only_one("incidents.resolve_green", 60) as won:
        if not won:
            return
        now = timezone.now()
        services.resolve_green(now=now)
        _release_lost(now)
        open_or_just_over = Q(state__in=OPEN_STATES) | Q(
            state=State.RESOLVED, import_key=None, resolved_at__gte=now - FREEZE_TRIED
        )
        waiting = Incident.objects.filter(open_or_just_over, frozen_at=None)
        for incident in waiting[:FREEZE_BATCH]:
            if now - incident.burning_since >= FREEZE_LATE:
                queue.enqueue_freeze(incident.pk)


def _release_lost(now: datetime) -> None:
    """Give back the freezes of killed workers; a report that was signed off is not drafted after its own."""
    Incident.objects.filter(REAL).alias(burning=Coalesce("reopened_at", "opened_at")).filter(
        frozen_at__lt=now - FREEZE_LOST, burning__gte=now - FREEZE_TRIED
    ).exclude(report__drafted_at__gte=F("frozen_at")).exclude(report__signed_at__isnull=False).update(
        frozen_at=None
    )


@shared_task(name="incidents.verify_checklist", ignore_result=True)
def verify_checklist() -> None:
    """Run every verifier of the checklists."""
    with only_one("incidents.verify_checklist", 600) as won:
        if won:
            checklist.verify_all(now=timezone.now(), budget_s=VERIFY_BUDGET_S)


@shared_task(name=queue.VERIFY, ignore_result=True)
def verify_items(item_ids: list[int]) -> None:
    """Run the verifiers of these items, at most :data:`VERIFY_BATCH`."""
    items = ChecklistItem.objects.filter(pk__in=item_ids).select_related("report__incident")[:VERIFY_BATCH]
    checklist.verify_items(
        items=items, now=timezone.now(), trigger=RunTrigger.PERSON, budget_s=VERIFY_BUDGET_S
    )


@shared_task(name=queue.FREEZE, ignore_result=True)
def freeze(incident_id: int) -> None:
    """Freeze the evidence of an incident, draft its report, and let the opening message go."""
    now = timezone.now()
    if not Incident.objects.filter(pk=incident_id, frozen_at=None).update(frozen_at=now):
        return
    incident = Incident.objects.get(pk=incident_id)
    if incident.is_exercise:
        # There is nothing to prove or to prevent; the message goes the way of every other one.
        outbox.release(incident=incident, at=timezone.now())
        return
    found: dict[str, list[str]] = {}
    try:
        evidence_more.opening(incident=incident, now=now)
        draft_report(incident=incident, now=timezone.now())
        found = {language: findings(incident, now, language) for language in texts.languages()}
    finally:
        # The message matters more than the report: it goes out whatever happened above.
        shown = lines.evidence_lines(incident)
        outbox.release(incident=incident, at=timezone.now(), findings=found, lines=shown)


@shared_task(name=queue.FREEZE_END, ignore_result=True)
def freeze_end(incident_id: int, service: str) -> None:
    """Freeze the last words of a service that ended while its incident is open."""
    with only_one(f"incidents.freeze_end:{incident_id}", settings.CELERY_TASK_TIME_LIMIT) as won:
        incident = Incident.objects.filter(pk=incident_id, state__in=OPEN_STATES).first()
        if won and incident is not None:
            evidence_more.freeze_end(incident=incident, name=service, now=timezone.now())


@shared_task(name="incidents.append_after", ignore_result=True)
def append_after() -> None:
    """Append what was measured in the 30 minutes after each incident began."""
    with only_one("incidents.append_after", settings.CELERY_TASK_TIME_LIMIT) as won:
        if won:
            evidence_more.append_after(now=timezone.now())


@shared_task(name="incidents.remind_due", ignore_result=True)
def remind_due() -> None:
    """Write the reminders of overdue reports and measures, and the digest of the week."""
    with only_one("incidents.remind_due", settings.CELERY_TASK_TIME_LIMIT) as won:
        if won:
            now = timezone.now()
            duedates.remind(now=now)
            duedates.digest(now=now)


@shared_task(name="incidents.prune_audit", ignore_result=True)
def prune_audit() -> None:
    """Remove audit entries that are too old."""
    with only_one("incidents.prune_audit", 60) as won:
        if won:
            audit.prune(now=timezone.now())


class _Lock(Lock):
    """redis-py's lock, given back without a script: web processes may run none."""

    def register_scripts(self) -> None:
        """Register none."""

    def do_release(self, expected_token: Any) -> None:
        """Delete the lock while it holds ``expected_token``.

        Raises:
            LockNotOwnedError: it ran out, and another process may hold it.
        """

        def give_back(pipeline: Any) -> None:
            if pipeline.get(self.name) != expected_token:
                raise LockNotOwnedError("the lock ran out", lock_name=str(self.name))
            pipeline.multi()
            pipeline.delete(self.name)

        self.redis.transaction(give_back, self.name)


@contextmanager
def only_one(name: str, timeout_s: float) -> Iterator[bool]:
    """Hold the Redis lock of a task; False when another worker has it. Without Redis the task runs.

    The rows themselves are claimed by conditional UPDATEs, so two runs at once are wasteful, not wrong.
    """
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    lock = client.lock(f"lock:{name}", timeout=timeout_s, blocking=False, lock_class=_Lock)
    try:
        won = lock.acquire()
    except redis.RedisError as error:
        logger.warning("Redis does not answer (%s); %s runs without its lock", type(error).__name__, name)
        won = True
    try:
        yield won
    finally:
        try:
            if won and lock.local.token is not None:
                lock.release()
        except (LockNotOwnedError, redis.RedisError) as error:
            logger.warning("The lock of %s was not released: %s", name, type(error).__name__)
        client.close()
