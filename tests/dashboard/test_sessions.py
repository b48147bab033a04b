"""How a sign-in begins and ends: throttled, by person and by time, on pages and on the live socket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import redis
import time_machine
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.dashboard import consumers
from tests.dashboard import world
from tests.dashboard.test_live import connected

PASSWORD = "correct horse battery"
START = datetime(2026, 11, 25, 9, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_hashes(settings: Settings) -> None:
    """Spare the seconds that a real hash takes, which is what it is for."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_in(client: Client, name: str, password: str = PASSWORD, **extra: Any) -> int:
    return client.post("/login/", {"username": name, "password": password}, **extra).status_code


def inside(client: Client) -> bool:
    """Whether the client gets a page that only viewers get."""
    return client.get("/api/v1/checklist").status_code == 200


@pytest.fixture
def alice() -> User:
    person = world.person("alice", "viewer")
    person.email = "alice.kim@ops.example"
    person.set_password(PASSWORD)
    person.save()
    return person


def test_a_form_from_elsewhere_signs_nobody_in(alice: User) -> None:
    assert sign_in(Client(enforce_csrf_checks=True), "alice") == 403


def test_signing_in_changes_the_sessions_key(client: Client, alice: User) -> None:
    client.get("/login/")
    client.session["kept"] = "1"
    client.session.save()
    before = client.session.session_key
    sign_in(client, "alice")
    assert client.session.session_key != before


def test_the_cookies_are_out_of_scripts_reach(client: Client, alice: User) -> None:
    client.get("/login/")
    sign_in(client, "alice")
    for name in ("sessionid", "csrftoken"):
        assert client.cookies[name]["httponly"], name
        assert client.cookies[name]["samesite"] == "Lax", name


@pytest.mark.parametrize("name", ["alice", "nobody"])
def test_five_guesses_close_the_door_alike_for_names_that_exist_and_do_not(alice: User, name: str) -> None:
    client = Client()
    codes = [sign_in(client, name, f"wrong {number}") for number in range(6)]
    assert codes == [200, 200, 200, 200, 429, 429]
    answer = client.post("/login/", {"username": name, "password": PASSWORD}, HTTP_ACCEPT_LANGUAGE="en")
    assert answer.status_code == 429, "the right password does not help"
    assert answer["Retry-After"] == "900"
    assert "Wait 15 minutes" in answer.text
    assert name not in answer.text


def test_an_administrator_unlocks_by_name(alice: User) -> None:
    client = Client()
    for _ in range(5):
        sign_in(client, "alice", "wrong")
    call_command("axes_reset_username", "alice", verbosity=0)
    assert sign_in(client, "alice") == 302


def test_guesses_are_counted_by_the_address_behind_the_proxy(alice: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    client = Client()
    for _ in range(5):
        sign_in(client, "alice", "wrong", HTTP_X_FORWARDED_FOR="203.0.113.9")
    assert sign_in(client, "alice", HTTP_X_FORWARDED_FOR="203.0.113.9") == 429
    assert sign_in(client, "alice", HTTP_X_FORWARDED_FOR="198.51.100.1, 203.0.113.9") == 429, "it is forged"
    assert sign_in(client, "alice", HTTP_X_FORWARDED_FOR="198.51.100.1") == 302


def test_without_a_proxy_the_header_is_not_believed(alice: User) -> None:
    client = Client()
    for number in range(5):
        sign_in(client, "alice", "wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}")
    assert sign_in(client, "alice", HTTP_X_FORWARDED_FOR="198.51.100.1") == 429


def test_a_network_of_ipv6_counts_as_one_address(alice: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    client = Client()
    for number in range(5):
        sign_in(client, "alice", "wrong", HTTP_X_FORWARDED_FOR=f"2001:db8::{number}")
    assert sign_in(client, "alice", HTTP_X_FORWARDED_FOR="2001:db8::9") == 429


@pytest.mark.parametrize("password", ["short one", "918273645546", "1234567890-=", "alice.kim@ops"])
def test_weak_passwords_are_refused(alice: User, password: str) -> None:
    with pytest.raises(ValidationError):
        validate_password(password, alice)


def test_two_hours_without_a_request_end_it(client: Client, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        sign_in(client, "alice")
        clock.shift(timedelta(hours=1, minutes=59))
        assert inside(client)
        clock.shift(timedelta(hours=1, minutes=59))
        assert inside(client), "each request is a sign of life"
        clock.shift(timedelta(hours=2, minutes=2))
        assert not inside(client)
        assert client.get("/").status_code == 302


def test_twelve_hours_end_it_whatever_is_done(client: Client, alice: User) -> None:
    with time_machine.travel(START, tick=False) as clock:
        sign_in(client, "alice")
        for _ in range(11):
            clock.shift(timedelta(hours=1))
            assert inside(client)
        clock.shift(timedelta(hours=1))
        assert not inside(client)


def test_a_new_password_ends_every_other_sign_in(alice: User) -> None:
    here, elsewhere = Client(), Client()
    sign_in(here, "alice")
    sign_in(elsewhere, "alice")
    alice.set_password("another horse battery")
    alice.save()
    assert not inside(here)
    assert not inside(elsewhere)


@pytest.mark.parametrize("change", ["deactivated", "role taken", "deleted"])
def test_a_person_who_was_let_go_is_out_at_the_next_request(client: Client, alice: User, change: str) -> None:
    sign_in(client, "alice")
    assert inside(client)
    match change:
        case "deactivated":
            User.objects.filter(pk=alice.pk).update(is_active=False)
        case "role taken":
            alice.groups.clear()
        case _:
            alice.delete()
    assert not inside(client)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["signed out", "new password", "deactivated", "role taken", "idle"])
async def test_the_live_socket_ends_with_the_sign_in(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(consumers, "RECHECK", -1.0)
    alice = await sync_to_async(world.person)("alice", "viewer")
    async with connected("/live/?page=dashboard&lang=en", alice) as socket:
        await socket.connect()
        orjson.loads(await socket.receive_from(10))
        await sync_to_async(_let_go)(alice, change)
        await sync_to_async(world.service)("frontend", timezone.now())
        assert (await socket.receive_output(10)) == {"type": "websocket.close", "code": 4401}


def _let_go(alice: User, change: str) -> None:
    match change:
        case "signed out":
            Session.objects.all().delete()
        case "new password":
            alice.set_password("another horse battery")
            alice.save()
        case "deactivated":
            User.objects.filter(pk=alice.pk).update(is_active=False)
        case "role taken":
            alice.groups.clear()
        case _:
            for session in Session.objects.all():
                data = session.get_decoded() | {"seen": 0.0}
                Session.objects.save(session.session_key, data, session.expire_date)
