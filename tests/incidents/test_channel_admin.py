"""Channels in the admin: only administrators, write-only addresses, and a Test whose result is shown."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from incidents import channels, notifications, queue, tasks, vault
from incidents.admin import ChannelAdmin
from incidents.models import Channel, ChannelKind, Delivery, NotificationKind
from tests.incidents.conftest import NOW, channel
from tests.incidents.forms import form_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("english", "loopback_is_listed", "redis_client"),
]
ADD = "admin:incidents_channel_add"
CHANGE = "admin:incidents_channel_change"
LIST = "admin:incidents_channel_changelist"
TELEGRAM = "tgram://123456789:AAs3cretbccddeeffgghhiijjkkllmmnnooppq/98765/"


@pytest.fixture
def admin(client, django_user_model):
    user = django_user_model.objects.create_user("alice", is_staff=True)
    user.groups.add(Group.objects.get(name="admin"))
    client.force_login(user)
    return client


def send(client, url, button="_continue", **changes):
    data, buttons = form_of(client.get(url).content.decode(), "channel_form")
    assert button in buttons, f"{button} not among {buttons}"
    assert not changes.keys() - data.keys(), f"{changes.keys()} not among {sorted(data)}"
    sent = {**data, **{name: [value] for name, value in changes.items()}, button: ["1"]}
    return client.post(url, sent, follow=True)


def said(answer):
    return [str(message) for message in answer.context["messages"]]


def errors(answer):
    return [text for texts in answer.context["adminform"].form.errors.values() for text in texts]


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
def test_others_neither_see_nor_add_nor_change_channels(client, django_user_model, hook, role):
    user = django_user_model.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    row = channel(hook, "team")
    pages = [reverse(LIST), reverse(ADD), reverse(CHANGE, args=[row.pk])]

    assert [client.get(page).status_code for page in pages] == [403] * 3
    assert client.post(reverse(CHANGE, args=[row.pk]), {"name": "x"}).status_code == 403
    assert b"incidents/channel/add" not in client.get("/").content


def test_an_address_goes_in_sealed_and_never_comes_out(admin):
    send(admin, reverse(ADD), "_save", name="phone", new_address=TELEGRAM)

    row = Channel.objects.get()
    assert vault.unseal(row.address) == TELEGRAM
    with connection.cursor() as cursor:
        for table in ("incidents_channel", "incidents_historicalchannel"):
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own tables
            assert "s3cret" not in repr(cursor.fetchall())
    history = reverse("admin:incidents_channel_history", args=[row.pk])
    for page in (reverse(LIST), reverse(CHANGE, args=[row.pk]), history):
        text = admin.get(page).content.decode()
        assert "s3cret" not in text, page
        assert row.address not in text, page
    assert "tgram:// (Telegram)" in admin.get(reverse(LIST)).content.decode()


def test_changing_a_route_keeps_the_address_and_an_address_can_be_replaced(admin, hook):
    row = channel(hook, "team")
    page = reverse(CHANGE, args=[row.pk])
    send(admin, page, name="night shift")
    row.refresh_from_db()
    assert (row.name, vault.unseal(row.address)) == ("night shift", hook.url)

    send(admin, page, new_address=TELEGRAM)
    row.refresh_from_db()
    assert (row.shown_address, vault.unseal(row.address)) == ("tgram:// (Telegram)", TELEGRAM)
    assert row.history.count() == 3
    assert row.history.first().history_user.username == "alice"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"new_address": ""}, "Enter the address."),
        ({"new_address": "syslog://localhost"}, "The scheme syslog is not allowed."),
        ({"new_address": "json://10.0.0.7/s3cret"}, "This address leads into the internal network."),
        ({"new_address": "json://169.254.169.254/s3cret"}, "This address leads into the internal network."),
        ({"kind": "webhook", "new_address": "http://10.0.0.7/"}, "A webhook is called by https;"),
        ({"new_address": TELEGRAM, "hours_from": "09:00"}, "Give both times, or none."),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(admin, changes, error):
    answer = send(admin, reverse(ADD), "_save", name="x", **changes)

    assert error in " ".join(errors(answer))
    assert not Channel.objects.exists()
    assert b"s3cret" not in answer.content


def test_a_webhook_gets_a_secret_that_is_shown_once(admin, hook):
    answer = send(admin, reverse(ADD), "_save", name="relay", kind="webhook", new_address=hook.webhook_url)
    row = Channel.objects.get()
    secret = vault.unseal(row.signing_secret)

    assert any(secret in text for text in said(answer))
    assert secret not in admin.get(reverse(CHANGE, args=[row.pk])).content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("answer", "word"), [(200, "Delivered"), (500, "Failed")])
def test_the_test_button_sends_one_message_and_shows_what_came_of_it(
    admin, hook, monkeypatch, settings, answer, word
):
    settings.NOTIFY_URLS = []
    monkeypatch.setattr(queue, "enqueue_deliver", tasks.deliver)
    hook.answers = [answer]
    row = channel(hook, "team")
    page = send(admin, reverse(CHANGE, args=[row.pk]), "incidents_channel_test")

    (text,) = [one for one in said(page) if one.startswith("Test: ")]
    assert text.startswith(f"Test: {word} · ")
    assert "KST" in text
    assert "s3cret" not in page.content.decode()
    assert hook.calls == 1
    assert word in admin.get(reverse(LIST)).content.decode()
    if answer == 200:
        assert hook.titles == ["Bonghwa: test message"]
        assert "alice tested the channel team" in hook.bodies[0]
    else:
        assert "500" in text


def test_a_test_that_no_worker_sends_says_that_it_waits(admin, hook, monkeypatch):
    monkeypatch.setattr(ChannelAdmin, "wait_s", 0.0)
    row = channel(hook, "team", enabled=False)
    page = send(admin, reverse(CHANGE, args=[row.pk]), "incidents_channel_test")
    assert any(one.startswith("Test: Pending") for one in said(page))

    notifications.deliver(now=Delivery.objects.get().next_attempt_at, urls=[])
    assert hook.titles == ["Bonghwa: test message"], "a channel is tested before it is switched on"


def test_a_channel_of_the_environment_is_read_and_tested_only(admin, hook):
    notifications.deliver(now=NOW, urls=[hook.url])
    row = Channel.objects.get(kind=ChannelKind.ENVIRONMENT)
    page = reverse(CHANGE, args=[row.pk])

    assert b'name="_save"' not in admin.get(page).content
    assert admin.post(page, {"name": "x"}).status_code == 403
    assert (
        admin.post(reverse("admin:incidents_channel_delete", args=[row.pk]), {"post": "yes"}).status_code
        == 403
    )
    admin.post(reverse(LIST), {"action": "test_chosen", "_selected_action": [row.pk]})
    assert Delivery.objects.get().message.kind == NotificationKind.TEST
    assert b"s3cret" not in admin.get(page).content + admin.get(reverse(LIST)).content


def test_rotation_keeps_what_was_set_for_channels_of_the_environment(settings):
    old, new, urls = "old key " * 5, "new key " * 5, ["json://a.example", "json://b.example"]
    settings.NOTIFY_URLS, settings.CHANNEL_KEY = urls, [old]
    channels.sync_environment(urls)
    Channel.objects.update(per_hour=7)

    settings.CHANNEL_KEY = [new, old]
    call_command("rotate_channel_key", stdout=StringIO())
    settings.CHANNEL_KEY = [new]
    channels.sync_environment(urls)

    assert list(Channel.objects.values_list("per_hour", "enabled")) == [(7, True)] * 2


def test_rotation_seals_again_and_names_what_no_key_opens(hook, settings):
    old, new = "old key " * 5, "new key " * 5
    settings.CHANNEL_KEY = [old]
    row = channel(hook, "team", signing_secret=vault.seal("whsec_x"))
    settings.CHANNEL_KEY = [new, old]
    call_command("rotate_channel_key", stdout=StringIO())
    settings.CHANNEL_KEY = [new]
    row.refresh_from_db()
    assert (vault.unseal(row.address), vault.unseal(row.signing_secret)) == (hook.url, "whsec_x")

    settings.CHANNEL_KEY = []
    with pytest.raises(CommandError, match="team"):
        call_command("rotate_channel_key", stdout=StringIO())
