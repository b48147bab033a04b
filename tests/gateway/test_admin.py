"""Feed keys in the admin, with forms as a browser sends them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db.models.signals import pre_save
from django.urls import reverse
from django.utils import timezone

from gateway import keys
from gateway.feed_frames import MARKET_TYPES
from gateway.feed_types import TYPE_NAMES
from gateway.models import FeedDisconnection, FeedKey
from tests.incidents.forms import form_of

pytestmark = pytest.mark.django_db
LIST = "/admin/gateway/feedkey/"


@pytest.fixture
def english(client, settings):
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"


@pytest.fixture
def person(client, english, django_user_model):
    """Sign in as staff with one role; returns the person."""

    def sign_in(role):
        user = django_user_model.objects.create_user(role or "nobody", is_staff=True)
        if role:
            user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        return user

    return sign_in


@pytest.fixture
def key():
    key = FeedKey(name="site", types=["0B"], items=["005930"])
    key.make_secret()
    key.save()
    return key


@pytest.fixture
def told(redis_client):
    """What web processes are told of keys; call it for the messages so far."""
    with redis_client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(keys.KEYS_CHANNEL)
        subscription.get_message(timeout=5)

        def messages():
            found = []
            while (message := subscription.get_message(timeout=0.2)) is not None:
                found.append(int(message["data"]))
            return found

        yield messages


def change(key):
    return reverse("admin:gateway_feedkey_change", args=[key.pk])


def submit(client, path, **changes):
    """Open the page as a browser, change some fields, save."""
    data, buttons = form_of(client.get(path).content.decode(), "feedkey_form")
    assert "_save" in buttons
    sent = {
        **data,
        **{name: value if isinstance(value, list) else [value] for name, value in changes.items()},
    }
    return client.post(path, {**sent, "_save": ["1"]}, follow=True)


def said(answer):
    return [str(message) for message in answer.context["messages"]]


def errors(answer):
    return answer.context["adminform"].form.errors


def test_every_shared_type_has_a_name():
    assert set(TYPE_NAMES) == MARKET_TYPES


def test_a_new_key_shows_its_secret_once_and_keeps_a_hash(client, person, redis_client):
    admin = person("admin")
    expires = timezone.localtime() + timedelta(days=30)

    answer = submit(
        client,
        f"{LIST}add/",
        name="bot",
        owner=[],
        types=["0B", "0D"],
        items="005930, 000660\n005930",
        max_connections="2",
        expires_at_0=expires.strftime("%Y-%m-%d"),
        expires_at_1="09:00:00",
    )

    key = FeedKey.objects.get(name="bot")
    (message,) = (text for text in said(answer) if "secret_key=" in text)
    (secret,) = re.findall(r"secret_key=([\w-]{43})<", message)
    assert key.has_secret(secret)
    assert secret not in str(FeedKey.objects.values().get(pk=key.pk))
    assert (key.types, key.items, key.max_connections) == (["0B", "0D"], ["005930", "000660"], 2)
    assert key.expires_at is not None
    for path in (change(key), LIST, reverse("admin:gateway_feedkey_history", args=[key.pk])):
        text = client.get(path).content.decode()
        assert secret not in text
        assert key.secret_sha256 not in text
    record = key.history.get()
    assert (record.history_type, record.history_user) == ("+", admin)


def test_types_are_chosen_from_a_list_with_names(client, person, key):
    person("admin")

    text = client.get(change(key)).content.decode()

    assert "0D · order book" in text
    assert 'value="00"' not in text
    assert "005930" in text


def test_changed_rights_are_told_to_connections_and_kept_in_history(
    client, person, key, told, django_capture_on_commit_callbacks
):
    admin = person("admin")

    with django_capture_on_commit_callbacks(execute=True):
        submit(client, change(key), types=["0B", "0H"], items="")

    assert told() == [key.pk]
    key.refresh_from_db()
    assert (key.types, key.items) == (["0B", "0H"], [])
    assert key.history.first().history_user == admin
    text = client.get(reverse("admin:gateway_feedkey_history", args=[key.pk])).content.decode()
    assert "[0B, 0H]" in text
    assert key.secret_sha256 not in text


def test_saving_without_a_change_tells_nobody(client, person, key, told, django_capture_on_commit_callbacks):
    person("admin")

    with django_capture_on_commit_callbacks(execute=True):
        submit(client, change(key))
        submit(client, change(key), name="site 2")

    assert told() == []


def test_a_key_that_is_revoked_while_it_is_saved_stays_revoked(client, person, key, redis_client):
    person("admin")

    def revoke(instance, **_):
        FeedKey.objects.filter(pk=instance.pk).update(revoked_at=timezone.now())

    pre_save.connect(revoke, sender=FeedKey)
    try:
        submit(client, change(key), name="renamed")
    finally:
        pre_save.disconnect(revoke, sender=FeedKey)

    key.refresh_from_db()
    assert key.name == "renamed"
    assert key.revoked_at is not None


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("types", ["00"], "00"),
        ("types", ["zz"], "zz"),
        ("items", "005930 <script>", "item codes"),
        ("items", "A" * 21, "item codes"),
        ("items", " ".join(f"{number:06}" for number in range(5001)), "5000"),
        ("max_connections", "0", "greater than or equal to 1"),
        ("max_connections", "-1", "greater than or equal to"),
        ("max_items", "0", "greater than or equal to 1"),
        ("max_items", "many", "whole number"),
        ("expires_at_0", "tomorrow", "valid date"),
        ("name", "", "required"),
        ("name", "x" * 101, "at most 100"),
    ],
)
def test_bad_values_are_refused_and_nothing_is_lost(client, person, key, redis_client, field, value, problem):
    person("admin")

    answer = submit(client, change(key), **{field: value})

    assert problem in str(errors(answer))
    before = FeedKey.objects.get(pk=key.pk)
    assert (before.types, before.items, before.name) == (["0B"], ["005930"], "site")


def test_revoking_asks_first_and_then_ends_connections(client, person, key, told):
    admin = person("admin")
    other = FeedKey(name="other")
    other.make_secret()
    other.save()

    question = client.post(LIST, {"action": "revoke", "_selected_action": [key.pk]})
    text = question.content.decode()
    assert "Revoke this key?" in text
    assert "site" in text
    key.refresh_from_db()
    assert key.revoked_at is None
    data, _buttons = form_of(text, "revoke_form")
    answer = client.post(f"{LIST}revoke/", data, follow=True)

    assert said(answer) == ["Revoked site."]
    key.refresh_from_db()
    other.refresh_from_db()
    assert key.revoked_at is not None
    assert other.revoked_at is None
    assert told() == [key.pk]
    assert key.history.first().history_user == admin
    assert LogEntry.objects.get(object_id=key.pk).user == admin


def test_a_key_can_be_revoked_from_its_own_page(client, person, key, told):
    person("admin")
    page = client.get(change(key)).content.decode()
    (link,) = set(re.findall(r'href="([^"]*revoke_one[^"]*)"', page))

    data, _buttons = form_of(client.get(link).content.decode(), "revoke_form")
    client.post(f"{LIST}revoke/", data, follow=True)

    key.refresh_from_db()
    assert key.revoked_at is not None
    assert said(client.get(link, follow=True)) == ["There is no key to revoke among these."]


def test_a_key_is_revoked_although_redis_is_away(client, person, key, monkeypatch, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    from gateway.feed_store import sync_client

    sync_client.cache_clear()
    person("admin")
    try:
        answer = client.post(f"{LIST}revoke/", {"key": [key.pk]}, follow=True)
    finally:
        sync_client.cache_clear()

    key.refresh_from_db()
    assert key.revoked_at is not None
    assert "within a minute" in said(answer)[0]


@pytest.mark.parametrize("body", [{}, {"key": ["x", "-1", "9" * 40, "١"]}])
def test_nonsense_revokes_nothing(client, person, key, redis_client, body):
    person("admin")

    assert client.post(f"{LIST}revoke/", body).status_code == 302
    assert client.get(f"{LIST}revoke/").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", None])
def test_others_cannot_change_or_revoke(client, person, key, redis_client, role):
    person(role)

    assert client.post(change(key), {"name": "x"}).status_code == 403
    assert client.post(f"{LIST}revoke/", {"key": [key.pk]}).status_code == 403
    assert client.get(f"{LIST}add/").status_code == 403
    client.post(LIST, {"action": "revoke", "_selected_action": [key.pk]})
    assert client.get(f"{LIST}{key.pk}/revoke_one/").status_code == 403
    key.refresh_from_db()
    assert (key.name, key.revoked_at) == ("site", None)


def test_nobody_deletes_a_key_or_a_disconnection(client, person, key):
    person("admin")
    row = FeedDisconnection.objects.create(actor_name="carol", process="p", connection="c", reason="r")

    assert client.post(f"{LIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    base = f"/admin/gateway/feeddisconnection/{row.pk}"
    assert client.get(f"{base}/change/").status_code == 200
    assert client.post(f"{base}/change/", {"reason": "x"}).status_code == 403
    assert client.post(f"{base}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/gateway/feeddisconnection/add/").status_code == 403


def test_history_cannot_be_played_back(client, person, key):
    person("admin")
    key.name = "renamed"
    key.save()
    first = key.history.last()

    url = reverse("admin:gateway_feedkey_simple_history", args=[key.pk, first.pk])
    client.post(url, {"name": "site", "_save": "1"})

    key.refresh_from_db()
    assert key.name == "renamed"
