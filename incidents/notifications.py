"""Delivers the outbox: one row for each message and channel, claimed by conditional UPDATE, retried.

Delivery is at most once by our own doing: the claim is committed before the network is touched, and a claim
whose worker died is not sent again (``uncertain``), but for webhooks, whose receivers know a repetition by
its id. An uncertain message is told to the next channel, and reminders follow while nobody acknowledges. A
channel that takes a message but does not say so in time may be sent it twice.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils.translation import gettext as _

from incidents import channels, rollups, routing, services, texts
from incidents.models import (
    WAITING,
    Channel,
    ChannelKind,
    Delivery,
    DeliveryState,
    Notification,
    NotificationKind,
    TimelineKind,
)
from incidents.policy import delay_after
from incidents.senders import Parcel, Sender, Unusable, sender_of

logger = logging.getLogger(__name__)

#: Seconds of one run; what is left waits for the next beat.
RUN_S = 25.0
#: Seconds that one send may take; below the lease of a claim.
SEND_S = 18.0
#: Channels that are sent to at the same time, so that a slow one delays no other.
AT_ONCE = 8
#: Deliveries looked at in one round.
BATCH = 200


@dataclass(slots=True)
class _Run:
    """One run: its clock, its channels, and the channels that failed in it."""

    now: datetime
    channels: Sequence[Channel]
    environment: Mapping[str, str]
    chance: Callable[[], float]
    started: float = field(default_factory=time.monotonic)
    broken: set[int] = field(default_factory=set)

    def clock(self) -> datetime:
        """Return the time by now."""
        return self.now + timedelta(seconds=time.monotonic() - self.started)

    def has_time(self) -> bool:
        """Whether another round may begin."""
        return time.monotonic() - self.started < RUN_S


def deliver(*, now: datetime, urls: Sequence[str], chance: Callable[[], float] = random.random) -> int:
    """Send what is due; return how many deliveries were taken. Slow: call it outside a transaction.

    ``chance`` in [0, 1) places each retry in its jitter.
    """
    environment = channels.sync_environment(urls)
    run = _Run(now, channels.enabled(), environment, chance)
    _look_at_lost_claims(run)
    for message in routing.route(now, run.channels):
        text = _("no channel is for it") if run.channels else _("no channel is configured")
        _tell(message, TimelineKind.NOTIFY_FAILED, now, text)
    rollups.roll_up(run.channels, now)
    rollups.prune(now)
    done = 0
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="deliver")
    try:
        while run.has_time() and (round_ := _next_round(run)):
            done += _send_round(run, pool, round_)
    finally:
        # A send that hangs is not waited for; its thread ends with the socket's timeout.
        pool.shutdown(wait=False, cancel_futures=True)
    return done


def hasten(now: datetime) -> None:
    """Let every message that waits for its next try be due: the clock that set its time was ahead."""
    Delivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__gt=now).update(next_attempt_at=now)
    waiting = Notification.objects.filter(state=DeliveryState.PENDING, next_attempt_at__gt=now)
    waiting.update(next_attempt_at=now)


def _due(run: _Run) -> QuerySet[Delivery]:
    """Return what may be sent now: in order for each incident and channel."""
    earlier = Delivery.objects.filter(
        channel=OuterRef("channel"),
        message__incident=OuterRef("message__incident"),
        message__lt=OuterRef("message"),
        state__in=WAITING,
    )
    return (
        Delivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=run.now)
        .exclude(channel__in=run.broken)
        .exclude(Exists(earlier))
        .select_related("message", "message__incident", "channel")
        .order_by("message__created_at", "message_id", "pk")
    )


def _next_round(run: _Run) -> list[tuple[Delivery, Sender]]:
    """Claim at most one delivery of each channel; what cannot be sent is settled here."""
    spent = rollups.spent(run.channels, run.now)
    taken: set[int] = set()
    claimed: list[tuple[Delivery, Sender]] = []
    for delivery in _due(run)[:BATCH]:
        channel = delivery.channel
        if channel is None or not (channel.enabled or delivery.message.kind == NotificationKind.TEST):
            if _claim(delivery, run):
                _failed(run, delivery, _("the channel was removed or switched off"), last=True)
            continue
        if channel.pk in taken:
            continue
        if delivery.message.kind not in rollups.FREE and spent.get(channel.pk, 0) >= channel.per_hour:
            if rollups.hold(delivery):
                routing.summarise(delivery.message_id)
            continue
        if not _claim(delivery, run):
            continue
        taken.add(channel.pk)
        try:
            claimed.append((delivery, sender_of(channel, run.environment)))
        except Unusable as error:
            _failed(run, delivery, str(error), last=True)
    return claimed


def _claim(delivery: Delivery, run: _Run) -> bool:
    won = Delivery.objects.filter(
        pk=delivery.pk, state=DeliveryState.PENDING, attempts=delivery.attempts
    ).update(state=DeliveryState.SENDING, attempts=F("attempts") + 1, claimed_at=run.clock())
    delivery.attempts += 1
    return bool(won)


def _send_round(run: _Run, pool: ThreadPoolExecutor, claimed: list[tuple[Delivery, Sender]]) -> int:
    """Send to all channels of the round at once; settle each as its answer comes."""
    flying: dict[Future[str], tuple[Delivery, Sender]] = {
        pool.submit(sender.send, _parcel(delivery)): (delivery, sender) for delivery, sender in claimed
    }
    done = 0
    try:
        for future in as_completed(flying, timeout=SEND_S):
            delivery, _sender = flying.pop(future)
            if error := future.result():
                run.broken.add(delivery.channel_id or 0)
                _failed(run, delivery, error)
            else:
                done += _taken(run, delivery)
    except TimeoutError:
        for delivery, sender in flying.values():
            run.broken.add(delivery.channel_id or 0)
            _unknown(run, delivery, repeatable=sender.repeatable)
    return done


def _parcel(delivery: Delivery) -> Parcel:
    message = delivery.message
    language = delivery.channel.language if delivery.channel else texts.site_language()
    subject, body = message.content.get(language) or (message.subject, message.body)
    payload = {
        "id": str(delivery.uid),
        "type": f"incident.{message.kind}" if message.incident_id else f"bonghwa.{message.kind}",
        "timestamp": message.created_at.isoformat(),
        "data": {"subject": subject, "text": body, **message.content.get("facts", {})},
    }
    return Parcel(str(delivery.uid), subject, body, payload)


def _taken(run: _Run, delivery: Delivery) -> bool:
    won = _settle(delivery, state=DeliveryState.SENT, delivered_at=run.clock(), last_error="")
    if won:
        _tell(delivery.message, TimelineKind.NOTIFIED, run.clock(), delivery.label)
    return won


def _failed(run: _Run, delivery: Delivery, error: str, *, last: bool = False) -> None:
    """Plan the next try; after the last one tell the next channel instead."""
    tries = 1 if delivery.message.kind == NotificationKind.TEST else settings.NOTIFY_POLICY.tries
    last = last or delivery.attempts >= tries
    if not last:
        wait = delay_after(settings.NOTIFY_POLICY, delivery.attempts, run.chance())
        _settle(delivery, state=DeliveryState.PENDING, next_attempt_at=run.now + wait, last_error=error[:300])
    elif _settle(delivery, state=DeliveryState.FAILED, last_error=error[:300]):
        text = _("%(channels)s did not take it") % {"channels": delivery.label}
        logger.error(
            "Message %s was given up after %d tries: %s", delivery.message_id, delivery.attempts, text
        )
        _give_up(run, delivery, text)


def _unknown(run: _Run, delivery: Delivery, *, repeatable: bool) -> None:
    """Settle a send whose end nobody saw."""
    error = _("nobody saw whether it arrived")
    if repeatable:
        _failed(run, delivery, error)
    elif _settle(delivery, state=DeliveryState.UNCERTAIN, last_error=error):
        text = _("%(channels)s: nobody saw whether it arrived") % {"channels": delivery.label}
        logger.error("Message %s may not have arrived: %s", delivery.message_id, text)
        _give_up(run, delivery, text)


def _give_up(run: _Run, delivery: Delivery, text: str) -> None:
    following = routing.next_channel(delivery.message, run.channels, run.now)
    if following is not None:
        routing.add(delivery.message, [following], run.now, instead=True)
        routing.summarise(delivery.message_id)
        text = f"{text} → {following.name}"
    _tell(delivery.message, TimelineKind.NOTIFY_FAILED, run.clock(), text)
    Notification.objects.filter(pk=delivery.message_id).update(last_error=text[:300])


def _settle(delivery: Delivery, **values: object) -> bool:
    """End the claim of this try; False when somebody else ended it."""
    won = Delivery.objects.filter(
        pk=delivery.pk, state=DeliveryState.SENDING, attempts=delivery.attempts
    ).update(**values)
    routing.summarise(delivery.message_id)
    return bool(won)


def _look_at_lost_claims(run: _Run) -> None:
    """Settle the claims of workers that died."""
    before = run.now - timedelta(seconds=settings.NOTIFY_POLICY.lease)
    lost = Delivery.objects.filter(state=DeliveryState.SENDING, claimed_at__lt=before)
    for delivery in lost.select_related("message", "message__incident", "channel")[:BATCH]:
        webhook = delivery.channel is not None and delivery.channel.kind == ChannelKind.WEBHOOK
        _unknown(run, delivery, repeatable=webhook)


def _tell(message: Notification, kind: TimelineKind, at: datetime, text: str) -> None:
    if message.incident is None:
        return
    services.record(
        incident=message.incident,
        kind=kind,
        at=at,
        notification=message.pk,
        message=str(NotificationKind(message.kind).label),
        text=text,
    )
