"""Celery tasks of the ``ops`` queue."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from incidents.tasks import VERIFY_BUDGET_S, only_one
from portal.operations import acting, drills, rechecks, settling, tail


@shared_task(name=tail.TASK, ignore_result=True)
def read_tail(service_id: int) -> None:
    """Read the live log of a service once; whoever watches asks for it again two seconds later."""
    tail.read(service_id)


@shared_task(name=acting.TASK, ignore_result=True)
def act(action_id: int) -> None:
    """Do what an operator asked for, once."""
    acting.perform(action_id)


@shared_task(name="operations.settle", ignore_result=True)
def settle() -> None:
    """Check whether actions helped, and settle those that lost their worker."""
    with only_one("operations.settle", 60) as won:
        if won:
            settling.settle(now=timezone.now())


@shared_task(name="operations.recheck", ignore_result=True)
def recheck() -> None:
    """Look at checklist items whose target changed, and again at ones that failed once."""
    with only_one("operations.recheck", 60) as won:
        if won:
            rechecks.recheck(timezone.now(), budget_s=VERIFY_BUDGET_S)


@shared_task(name=drills.TASK, ignore_result=True)
def run_drill(pk: int) -> None:
    """Start the process that plays a drill; it takes longer than a task may, and is bounded by itself."""
    drills.launch(pk)


@shared_task(name="operations.settle_drills", ignore_result=True)
def settle_drills() -> None:
    """Give a drill whose process is gone its result."""
    drills.settle(now=timezone.now())
