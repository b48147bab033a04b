"""The cap of each channel: what is above it is held back, and told in one message that counts it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count

from incidents import texts
from incidents.models import Channel, Delivery, DeliveryState, Notification, NotificationKind

WINDOW = timedelta(hours=1)
#: Kinds that the cap does not count.
FREE = (NotificationKind.ROLLUP, NotificationKind.TEST)
#: Deliveries told by one roll-up.
BATCH = 500
#: Roll-ups and tests are kept for so long; messages of an incident stay with it.
KEPT = timedelta(days=90)


def spent(channels: Iterable[Channel], now: datetime) -> dict[int, int]:
    """Return how many messages each channel was sent in the last hour, whatever came of them."""
    rows = (
        Delivery.objects.filter(channel__in=list(channels), claimed_at__gt=now - WINDOW)
        .exclude(message__kind__in=FREE)
        .exclude(state=DeliveryState.HELD)
        .values_list("channel_id")
        .annotate(n=Count("pk"))
    )
    return {pk: count for pk, count in rows if pk is not None}


def hold(delivery: Delivery) -> bool:
    """Hold a delivery back; False when another worker has it."""
    held = Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.PENDING)
    return bool(held.update(state=DeliveryState.HELD))


def roll_up(channels: Sequence[Channel], now: datetime) -> list[Notification]:
    """Write a roll-up for each channel that holds something back, at most one in ``rollup_interval``."""
    policy = settings.NOTIFY_POLICY
    written = []
    for channel in channels:
        held = Delivery.objects.filter(
            channel=channel, state=DeliveryState.HELD, rolled_up_by=None
        ).select_related("message")
        rows = list(held.order_by("message__created_at", "pk")[:BATCH])
        if not rows:
            continue
        first = rows[0].message.created_at
        told = Delivery.objects.filter(
            channel=channel,
            message__kind=NotificationKind.ROLLUP,
            message__created_at__gt=now - timedelta(seconds=policy.rollup_interval),
        )
        if first > now - timedelta(seconds=policy.group_wait) or told.exists():
            continue
        written.append(_write(channel, rows, first, now))
    return [message for message in written if message is not None]


def prune(now: datetime) -> int:
    """Delete old roll-ups and tests, at most one batch."""
    old = Notification.objects.filter(incident=None, created_at__lt=now - KEPT).values_list("pk", flat=True)
    gone, _per_model = Notification.objects.filter(pk__in=list(old[:BATCH])).delete()
    return gone


def _write(channel: Channel, rows: Sequence[Delivery], since: datetime, now: datetime) -> Notification | None:
    subjects = [row.message.content.get(channel.language, [row.message.subject])[0] for row in rows]
    content = texts.compose_rollup(
        channel=channel.name, per_hour=channel.per_hour, since=since, subjects=subjects
    )
    subject, body = content[texts.site_language()]
    with transaction.atomic():
        message = Notification.objects.create(
            kind=NotificationKind.ROLLUP,
            subject=subject[:250],
            body=body,
            content=content,
            created_at=now,
            next_attempt_at=now,
            routed_at=now,
        )
        mine = Delivery.objects.filter(
            pk__in=[row.pk for row in rows], state=DeliveryState.HELD, rolled_up_by=None
        ).update(rolled_up_by=message)
        if mine < len(rows):
            # Another worker tells of them.
            transaction.set_rollback(True)
            return None
        Delivery.objects.create(message=message, channel=channel, label=channel.name, next_attempt_at=now)
    return message
