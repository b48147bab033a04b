"""Receipts on the incident's page, the page of the outbox, and who may send again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from incidents.models import Channel, Delivery, DeliveryState, Incident, Notification, TimelineKind
from portal.dashboard import contexts
from tests.dashboard import world

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]
ENGLISH = {"accept-language": "en"}
NINE = datetime(2026, 11, 23, 0, 3, 12, tzinfo=UTC)


@pytest.fixture
def incident(redis_client: redis.Redis) -> Incident:
    now = timezone.now()
    world.seed_services(now)
    return world.incident(now)


def delivery(incident: Incident, name: str, state: DeliveryState, **values: object) -> Delivery:
    """A message of the incident to a channel of its own."""
    now = timezone.now()
    message, _new = Notification.objects.get_or_create(
        incident=incident,
        kind="opened",
        defaults={"subject": "[Critical] <b>x</b>", "body": "x", "created_at": now, "next_attempt_at": now},
    )
    row = Channel.objects.create(name=name)
    return Delivery.objects.create(
        message=message, channel=row, label=name, state=state, **{"next_attempt_at": now, **values}
    )


def test_the_incident_shows_its_receipts(client: Client, incident: Incident) -> None:
    delivery(incident, "Telegram", DeliveryState.SENT, delivered_at=NINE, attempts=1)
    delivery(incident, "<i>mail</i>", DeliveryState.FAILED, attempts=5, last_error="HTTP 500")
    client.force_login(world.person("alice", "viewer"))

    text = client.get(f"/incidents/{incident.number}/", headers=ENGLISH).content.decode()
    assert "delivered 09:03:12 KST via Telegram" in text
    assert "&lt;i&gt;mail&lt;/i&gt;: given up after 5 tries" in text
    assert "HTTP 500" in text
    assert "<i>mail" not in text


def test_the_outbox_lists_what_waits_failed_and_is_held(client: Client, incident: Incident) -> None:
    for name, state in (
        ("one", DeliveryState.PENDING),
        ("two", DeliveryState.FAILED),
        ("three", DeliveryState.HELD),
        ("four", DeliveryState.UNCERTAIN),
        ("five", DeliveryState.SENT),
    ):
        delivery(incident, name, state, delivered_at=NINE if state == DeliveryState.SENT else None)
    client.force_login(world.person("alice", "viewer"))

    context = client.get("/messages/").context
    shown = [[row["label"] for row in rows] for _title, rows in context["parts"]]
    assert shown == [["one"], ["four", "two"], ["three"]]
    assert [row["label"] for row in context["latest"]] == ["five"]


def test_the_outbox_takes_the_same_queries_whatever_it_holds(
    incident: Incident, django_assert_max_num_queries: object
) -> None:
    for number in range(30):
        delivery(incident, f"c{number}", DeliveryState.FAILED)
    with django_assert_max_num_queries(6):  # type: ignore[operator] # pytest-django's fixture
        contexts.build("messages")


def test_an_operator_sends_again_with_a_reason_that_is_kept(client: Client, incident: Incident) -> None:
    failed = delivery(incident, "mail", DeliveryState.FAILED, attempts=5)
    page = f"/messages/{failed.pk}/retry/"
    client.force_login(world.person("bob", "operator"))
    assert client.get(page).status_code == 200
    client.post(page, {"reason": ""})
    failed.refresh_from_db()
    assert failed.state == DeliveryState.FAILED

    client.post(page, {"reason": "the relay is back"})
    failed.refresh_from_db()
    assert (failed.state, failed.attempts) == (DeliveryState.PENDING, 0)
    event = incident.timeline.get(kind=TimelineKind.ACTION)
    assert event.actor is not None
    assert event.actor.get_username() == "bob"
    assert "the relay is back" in event.data["text"]
    assert LogEntry.objects.get().user == event.actor


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_viewer_sends_nothing_again(client: Client, incident: Incident, method: str) -> None:
    failed = delivery(incident, "mail", DeliveryState.FAILED)
    client.force_login(world.person("alice", "viewer"))

    answer = getattr(client, method)(f"/messages/{failed.pk}/retry/", {"reason": "x"})
    assert answer.status_code == 403
    failed.refresh_from_db()
    assert failed.state == DeliveryState.FAILED


@pytest.mark.parametrize("state", [DeliveryState.SENT, DeliveryState.SENDING, DeliveryState.PENDING])
def test_what_was_taken_or_is_on_its_way_is_not_sent_again(
    client: Client, incident: Incident, state: DeliveryState
) -> None:
    row = delivery(incident, "mail", state)
    client.force_login(world.person("bob", "operator"))
    client.post(f"/messages/{row.pk}/retry/", {"reason": "x"})

    row.refresh_from_db()
    assert row.state == state


@pytest.mark.parametrize(("role", "offered"), [("viewer", False), ("operator", False), ("admin", True)])
def test_the_banner_offers_a_channel_to_whoever_may_add_one(
    client: Client, incident: Incident, role: str, offered: bool
) -> None:
    user = world.person("carol", role)
    user.is_staff = True
    user.save()
    client.force_login(user)
    text = client.get("/").content.decode()

    assert "notifications_off" in text
    assert ("/admin/incidents/channel/add/" in text) is offered
    Channel.objects.create(name="phone")
    assert "notifications_off" not in client.get("/").content.decode()


def test_the_newest_receipts_come_first(incident: Incident) -> None:
    first = delivery(incident, "a", DeliveryState.SENT, delivered_at=NINE).message
    Notification.objects.create(
        incident=incident,
        kind="resolved",
        subject="x",
        body="x",
        created_at=first.created_at + timedelta(seconds=9),
        next_attempt_at=NINE,
    )
    context = contexts.build(f"incident:{incident.number}")
    assert context is not None
    assert [told.message.kind for told in context["receipts"]] == ["resolved", "opened"]
