"""Celery tasks of the ``ops`` queue."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from incidents.tasks import only_one
from portal.operations import acting, settling, tail


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
