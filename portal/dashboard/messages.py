"""Messages to people: the receipts of one incident, and the whole outbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Prefetch
from django.utils import timezone
from django.utils.translation import gettext as _

from incidents.models import WAITING, Delivery, DeliveryState, Incident, Notification
from incidents.resend import RETRIABLE
from portal.dashboard.data import Level

#: Messages shown on an incident's page.
RECEIPTS_MAX = 50
#: Deliveries in each part of the outbox page.
ROWS_MAX = 100
#: Delivered messages on that page.
LATEST_MAX = 30

LEVELS = {
    DeliveryState.SENT: Level.OK,
    DeliveryState.FAILED: Level.CRITICAL,
    DeliveryState.NO_CHANNEL: Level.CRITICAL,
    DeliveryState.UNCERTAIN: Level.WARNING,
    DeliveryState.HELD: Level.WARNING,
    DeliveryState.CANCELLED: Level.OFF,
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of one message on one channel, in words."""

    pk: int | None
    level: str
    word: str
    text: str
    error: str
    instead: bool = False
    retriable: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """One message and its receipts."""

    message: Notification
    at: datetime
    receipts: tuple[Receipt, ...]


def receipts(incident: Incident) -> list[Told]:
    """Return the messages of an incident, newest first: two queries."""
    deliveries = Prefetch("deliveries", Delivery.objects.select_related("rolled_up_by"))
    newest = incident.notifications.prefetch_related(deliveries).defer("body", "content")
    return [told(message) for message in newest[:RECEIPTS_MAX]]


def told(message: Notification) -> Told:
    """Return a message with its receipts; one without deliveries tells why."""
    found = tuple(receipt(one) for one in message.deliveries.all())
    if not found:
        state = DeliveryState(message.state)
        found = (Receipt(None, LEVELS.get(state, Level.UNKNOWN), str(state.label), "", message.last_error),)
    return Told(message, message.created_at, found)


def receipt(delivery: Delivery) -> Receipt:
    """Return what came of one delivery."""
    state = DeliveryState(delivery.state)
    return Receipt(
        pk=delivery.pk,
        level=LEVELS.get(state, Level.UNKNOWN),
        word=str(state.label),
        text=_sentence(delivery, state),
        error="" if state is DeliveryState.SENT else delivery.last_error,
        instead=delivery.instead,
        retriable=state in RETRIABLE,
    )


def outbox() -> dict[str, Any]:
    """Return the outbox page: eight queries at most, whatever the outbox holds."""
    rows = Delivery.objects.select_related("message", "message__incident", "rolled_up_by").defer(
        "message__body", "message__content", "rolled_up_by__body", "rolled_up_by__content"
    )
    lost = Notification.objects.filter(state=DeliveryState.NO_CHANNEL).select_related("incident")
    parts = [
        (_("Waiting"), rows.filter(state__in=WAITING).order_by("next_attempt_at", "pk")),
        (
            _("Not delivered"),
            rows.filter(state__in=(DeliveryState.FAILED, DeliveryState.UNCERTAIN)).order_by("-pk"),
        ),
        (_("Held back"), rows.filter(state=DeliveryState.HELD).order_by("-pk")),
    ]
    return {
        "title": _("Messages"),
        "parts": [(title, _rows(found[:ROWS_MAX])) for title, found in parts],
        "lost": list(lost.defer("body", "content")[:ROWS_MAX]),
        "latest": _rows(rows.filter(state=DeliveryState.SENT).order_by("-delivered_at")[:LATEST_MAX]),
    }


def _rows(found: Iterable[Delivery]) -> list[dict[str, Any]]:
    return [{"message": one.message, "label": one.label, "receipt": receipt(one)} for one in found]


def _sentence(delivery: Delivery, state: DeliveryState) -> str:
    values = {"channel": delivery.label, "tries": delivery.attempts}
    if state is DeliveryState.SENT and delivery.delivered_at:
        return _("delivered %(time)s via %(channel)s") % {
            **values,
            "time": _clock(delivery.delivered_at),
        }
    if state is DeliveryState.PENDING and delivery.attempts:
        return _("%(channel)s: try %(tries)d failed, next at %(time)s") % {
            **values,
            "time": _clock(delivery.next_attempt_at),
        }
    if state is DeliveryState.HELD and delivery.rolled_up_by:
        return _("%(channel)s: told in the roll-up of %(time)s") % {
            **values,
            "time": _clock(delivery.rolled_up_by.created_at),
        }
    if state is DeliveryState.FAILED:
        return _("%(channel)s: given up after %(tries)d tries") % values
    return delivery.label


def _clock(at: datetime) -> str:
    return timezone.localtime(at).strftime("%H:%M:%S %Z")
