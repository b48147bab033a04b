"""Delivers the outbox through Apprise: claimed by conditional UPDATE, retried, never logging an address.

A claim moves ``next_attempt_at`` ahead by :data:`LEASE`, so a second worker does not take the message and
a worker that died mid-way is replaced. Channels that took a message are remembered and not asked again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import apprise
from django.db.models import F
from django.utils.translation import gettext as _

from incidents import services
from incidents.models import OPEN_STATES, Notification, NotificationKind, TimelineKind
from incidents.models.notification import DeliveryState

logger = logging.getLogger(__name__)

#: Apprise prints addresses with their secrets at lower levels, and urllib3 the token in a path.
logging.getLogger("apprise").setLevel(logging.CRITICAL)
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)

MAX_ATTEMPTS = 5
#: Waits before tries 2 to 5; the last is the cap.
DELAYS = tuple(timedelta(seconds=s) for s in (5, 15, 45, 135, 300))
LEASE = timedelta(seconds=90)
#: Messages of one run.
BATCH = 50
#: A message that found no channel goes out when one is set, if its incident still burns and it is younger.
NO_CHANNEL_AGE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Channel:
    """One configured receiver. ``label`` is safe to show; the address is not."""

    label: str
    digest: str
    server: apprise.NotifyBase


def channels(urls: Sequence[str]) -> list[Channel]:
    """Return a channel for each address that Apprise understands; others are named by position in the log."""
    found = []
    for position, url in enumerate((url.strip() for url in urls), 1):
        server = apprise.Apprise.instantiate(url) if url else None
        if isinstance(server, apprise.NotifyBase):
            found.append(Channel(f"{server.service_name} #{position}", _digest(url), server))
        elif url:
            _complain(position, _digest(url))
    return found


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]


@lru_cache(maxsize=64)
def _complain(position: int, digest: str) -> None:
    """Log a bad address once in the life of the process, not at each run."""
    logger.error("NOTIFY_URLS: address %d is not understood", position)


def deliver(*, now: datetime, urls: Sequence[str]) -> int:
    """Send what is due; return how many messages were delivered. Slow: call it outside a transaction."""
    receivers = channels(urls)
    if receivers:
        _requeue(now)
    due = Notification.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=now)
    done = 0
    for message in due.select_related("incident").order_by("created_at", "pk")[:BATCH]:
        if _earlier_waits(message) or not _claim(message, now):
            continue
        done += _send(message, receivers, now)
    return done


def send_test(*, urls: Sequence[str], subject: str = "", body: str = "") -> dict[str, bool]:
    """Send a test message to every channel; return what each said by label."""
    title, text = subject or _("Bonghwa: test message"), body or _("This channel works.")
    return {channel.label: _notify(channel, title, text) for channel in channels(urls)}


def delay_after(attempts: int) -> timedelta:
    """Return the wait after this many failed tries."""
    return DELAYS[min(attempts, len(DELAYS)) - 1]


def _requeue(now: datetime) -> None:
    Notification.objects.filter(
        state=DeliveryState.NO_CHANNEL,
        kind=NotificationKind.OPENED,
        incident__state__in=OPEN_STATES,
        incident__reopened=F("occurrence"),
        created_at__gte=now - NO_CHANNEL_AGE,
    ).update(state=DeliveryState.PENDING, attempts=0, next_attempt_at=now)


def _earlier_waits(message: Notification) -> bool:
    """Whether an earlier message of the incident is still on its way: the order is kept."""
    earlier = Notification.objects.filter(
        incident=message.incident_id, state=DeliveryState.PENDING, pk__lt=message.pk
    )
    return earlier.exists()


def _claim(message: Notification, now: datetime) -> bool:
    won = Notification.objects.filter(
        pk=message.pk,
        state=DeliveryState.PENDING,
        attempts=message.attempts,
        next_attempt_at=message.next_attempt_at,
    ).update(attempts=F("attempts") + 1, next_attempt_at=now + LEASE)
    message.attempts += 1
    return bool(won)


def _send(message: Notification, receivers: Sequence[Channel], now: datetime) -> bool:
    if not receivers:
        Notification.objects.filter(pk=message.pk).update(
            state=DeliveryState.NO_CHANNEL, last_error=_("No channel is configured.")
        )
        _tell(message, TimelineKind.NOTIFY_FAILED, now, _("no channel is configured"))
        return False
    taken = list(message.delivered_to)
    failed = []
    for channel in receivers:
        if channel.digest in taken:
            continue
        if _notify(channel, message.subject, message.body):
            taken.append(channel.digest)
            # Kept at once: a crash before the next channel must not send this one twice.
            Notification.objects.filter(pk=message.pk).update(delivered_to=taken)
        else:
            failed.append(channel.label)
    if failed:
        _failed(message, failed, now)
        return False
    Notification.objects.filter(pk=message.pk).update(
        state=DeliveryState.SENT, delivered_at=now, last_error=""
    )
    _tell(message, TimelineKind.NOTIFIED, now, ", ".join(channel.label for channel in receivers))
    return True


def _failed(message: Notification, failed: Sequence[str], now: datetime) -> None:
    error = _("%(channels)s did not take it") % {"channels": ", ".join(failed)}
    last = message.attempts >= MAX_ATTEMPTS
    Notification.objects.filter(pk=message.pk).update(
        state=DeliveryState.FAILED if last else DeliveryState.PENDING,
        next_attempt_at=now + delay_after(message.attempts),
        last_error=error[:300],
    )
    if last:
        logger.error("Message %s was given up after %d tries: %s", message.pk, message.attempts, error)
        _tell(message, TimelineKind.NOTIFY_FAILED, now, error)


def _notify(channel: Channel, title: str, body: str) -> bool:
    try:
        return bool(channel.server.notify(title=title, body=body))
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        # Its text can hold the address with its secrets, so only the type is logged.
        logger.warning("Channel %s failed: %s", channel.label, type(error).__name__)
        return False


def _tell(message: Notification, kind: TimelineKind, now: datetime, text: str) -> None:
    services.record(
        incident=message.incident,
        kind=kind,
        at=now,
        notification=message.pk,
        message=message.get_kind_display(),
        text=text,
    )
