"""A test message to one channel: sent by the worker as every other message, its result read back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import transaction

from incidents import channels, queue, texts
from incidents.models import WAITING, Channel, Delivery, Notification, NotificationKind

#: Seconds between two looks for the result.
LOOK_EVERY_S = 0.25


def start(*, channel: Channel, by: str, at: datetime) -> Delivery:
    """Put a test message into the outbox and ask a worker to send it once the transaction is committed."""
    content = texts.compose_test(channel=channel.name, by=by, at=at)
    return _send(content, [channel], at)[0]


def start_all(*, content: texts.Content, at: datetime) -> int:
    """Put a test message for every enabled channel into the outbox; return how many channels there are."""
    channels.sync_environment(settings.NOTIFY_URLS)
    return len(_send(content, channels.enabled(), at))


def _send(content: texts.Content, receivers: Sequence[Channel], at: datetime) -> list[Delivery]:
    subject, body = content[texts.site_language()]
    with transaction.atomic():
        message = Notification.objects.create(
            kind=NotificationKind.TEST,
            subject=subject,
            body=body,
            content=content,
            created_at=at,
            next_attempt_at=at,
            routed_at=at,
        )
        deliveries = Delivery.objects.bulk_create(
            Delivery(message=message, channel=channel, label=channel.name, next_attempt_at=at)
            for channel in receivers
        )
        transaction.on_commit(partial(queue.enqueue_deliver), robust=True)
    return deliveries


def wait(delivery: Delivery, seconds: float) -> Delivery:
    """Return the delivery once settled, or as it is after ``seconds``; call it outside a transaction."""
    deadline = time.monotonic() + seconds
    while True:
        delivery.refresh_from_db()
        if delivery.state not in WAITING or time.monotonic() >= deadline:
            return delivery
        time.sleep(LOOK_EVERY_S)


def last(channel: Channel) -> Delivery | None:
    """Return the newest test of a channel."""
    tests = Delivery.objects.filter(channel=channel, message__kind=NotificationKind.TEST)
    return tests.select_related("message").order_by("-pk").first()
