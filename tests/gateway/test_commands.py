"""What people tell the gateway: recorded before it is queued, readable, and never changed."""

from __future__ import annotations

import orjson
import pytest
import redis
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from gateway import commands, keys
from gateway.models import GatewayCommand
from tests.services import free_port

pytestmark = pytest.mark.django_db
QUEUE = keys.COMMANDS.format(slot="key-1")


@pytest.fixture
def person():
    """Somebody who gives commands."""
    return User.objects.create_user("minji")


def test_a_command_is_recorded_and_queued_with_who_and_why(redis_client, person):
    commands.give(redis_client, slot="key-1", verb="open_breaker", reason=" 점검 ", by=person)
    row = GatewayCommand.objects.get()
    assert (row.who, row.by, row.verb, row.slot, row.reason, row.outcome) == (
        *("minji", person, "open_breaker", "key-1", "점검", "queued"),
    )
    (raw,) = redis_client.lrange(QUEUE, 0, -1)
    assert {name: orjson.loads(raw)[name] for name in ("verb", "reason", "by")} == {
        "verb": "open_breaker",
        "reason": "점검",
        "by": "minji",
    }


def test_a_breaker_opened_by_hand_is_kept_until_it_is_closed_by_hand(redis_client, person):
    held = keys.HELD.format(slot="key-1")
    commands.give(redis_client, slot="key-1", verb="open_breaker", reason="점검", by=person)
    assert redis_client.get(held).decode() == "점검 (by minji)"
    commands.give(redis_client, slot="key-1", verb="resume", reason="x", by=person)
    assert redis_client.exists(held)
    commands.give(redis_client, slot="key-1", verb="close_breaker", reason="done", by=person)
    assert not redis_client.exists(held)


@pytest.mark.parametrize(
    ("slot", "verb", "reason"),
    [("key-9", "resume", "x"), ("key-1", "shell", "x"), ("key-1", "resume", "  ")],
)
def test_what_is_refused_is_neither_recorded_nor_queued(redis_client, person, slot, verb, reason):
    with pytest.raises(ValueError, match=r"unknown|required"):
        commands.give(redis_client, slot=slot, verb=verb, reason=reason, by=person)
    assert not GatewayCommand.objects.exists()
    assert not redis_client.exists(QUEUE)


def test_a_command_that_redis_did_not_take_is_recorded_as_undelivered(person):
    nowhere = redis.Redis(port=free_port(), socket_connect_timeout=1)
    with pytest.raises(redis.RedisError):
        commands.give(nowhere, slot="key-1", verb="resume", reason="x", by=person)
    assert GatewayCommand.objects.get().outcome == "undelivered"


def test_a_record_outlives_the_account(redis_client, person):
    commands.give(redis_client, slot="key-1", verb="resume", reason="x", by=person)
    person.delete()
    row = GatewayCommand.objects.get()
    assert (row.by, row.who) == (None, "minji")


def test_the_queue_is_bounded_and_keeps_the_newest(redis_client, person):
    for number in range(keys.COMMANDS_MAX + 5):
        commands.give(redis_client, slot="key-1", verb="resume", reason=str(number), by=person)
    reasons = [orjson.loads(raw)["reason"] for raw in redis_client.lrange(QUEUE, 0, -1)]
    assert reasons == [str(number) for number in range(5, keys.COMMANDS_MAX + 5)]


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "admin"])
def test_the_record_can_be_read_by_everybody_and_changed_by_nobody(redis_client, person, role):
    commands.give(redis_client, slot="key-1", verb="resume", reason="because", by=person)
    row = GatewayCommand.objects.get()
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert b"because" in client.get(reverse("admin:gateway_gatewaycommand_changelist")).content
    page = reverse("admin:gateway_gatewaycommand_change", args=[row.pk])
    assert client.get(page).status_code == 200
    assert client.post(page, {"reason": "another"}).status_code == 403
    assert client.get(reverse("admin:gateway_gatewaycommand_add")).status_code == 403
    delete = reverse("admin:gateway_gatewaycommand_delete", args=[row.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    row.refresh_from_db()
    assert row.reason == "because"
