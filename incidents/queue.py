"""Hand-over of work to the ``ops`` worker. Messages are JSON ids; losing one is repaired by the sweep."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

DELIVER = "incidents.deliver"
FREEZE = "incidents.freeze"
FREEZE_END = "incidents.freeze_end"
VERIFY = "incidents.verify_items"
QUEUE = "ops"
#: Seconds after which the last words of an ended service are not looked for any more.
FREEZE_END_EXPIRES_S = 120


def enqueue_freeze(incident_id: int) -> None:
    """Ask a worker to freeze the evidence of an incident and draft its report.

    A broker that does not answer is logged, not raised: ``incidents.resolve_green`` asks again.
    """
    try:
        current_app.send_task(FREEZE, args=[incident_id], queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("Broker does not answer; freeze of incident id %s waits for the sweep", incident_id)


def enqueue_freeze_end(incident_id: int, service: str) -> None:
    """Ask a worker to freeze the last words of a service that ended; without a broker that is logged."""
    args = [incident_id, service]
    try:
        current_app.send_task(FREEZE_END, args=args, queue=QUEUE, retry=False, expires=FREEZE_END_EXPIRES_S)
    except OperationalError:
        logger.warning("Broker does not answer; the end of %s was not frozen", service)


def enqueue_verify(item_ids: list[int]) -> bool:
    """Ask a worker to run these items' verifiers now; False when the broker does not answer."""
    try:
        current_app.send_task(VERIFY, args=[item_ids], queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("Broker does not answer; %d checklist items were not verified", len(item_ids))
        return False
    return True


def enqueue_deliver() -> None:
    """Ask a worker to look at the outbox now; without a broker the next beat does."""
    try:
        current_app.send_task(DELIVER, queue=QUEUE, retry=False)
    except OperationalError:
        logger.warning("Broker does not answer; the outbox waits for the next beat")
