"""Celery tasks of the ``ops`` queue."""

from __future__ import annotations

from celery import shared_task

from portal.operations import tail


@shared_task(name=tail.TASK, ignore_result=True)
def read_tail(service_id: int) -> None:
    """Read the live log of a service once; whoever watches asks for it again two seconds later."""
    tail.read(service_id)
