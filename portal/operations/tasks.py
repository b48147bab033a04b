"""Celery tasks of the ``ops`` queue."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from portal.operations import drills, tail


@shared_task(name=tail.TASK, ignore_result=True)
def read_tail(service_id: int) -> None:
    """Read the live log of a service once; whoever watches asks for it again two seconds later."""
    tail.read(service_id)


@shared_task(name=drills.TASK, ignore_result=True)
def run_drill(pk: int) -> None:
    """Start the process that plays a drill; it takes longer than a task may, and is bounded by itself."""
    drills.launch(pk)


@shared_task(name="operations.settle_drills", ignore_result=True)
def settle_drills() -> None:
    """Give a drill whose process is gone its result."""
    drills.settle(now=timezone.now())
