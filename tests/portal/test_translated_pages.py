"""Every page in one language at a time: no Korean among English words, no message left in English."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polib
import pytest
import redis
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.models import FeedKey
from incidents.models import ChecklistItem, Incident, ItemPack, Notification, PackItem, VerificationRun
from portal.monitoring.models import Alert, Endpoint, ProbeResult, RuleState, Service
from tests.dashboard import world
from tests.dashboard.test_pages import DATA, HANGUL, PAGES, Text

pytestmark = pytest.mark.django_db
EDITOR_PAGES = ("/incidents/import/", "/incidents/7/report/edit/")
#: Data of the world, and a symbol, that happen to be messages too.
NAMES = {"health", "Health", "stop", "no memory limit", "self-test"}
#: The product's and the languages' names are the same in both languages.
SAME = ("봉화", "한국어")


class Seen(Text):
    """The page's parts without the exchange's item names, which are Korean data."""

    def handle_data(self, data: str) -> None:
        """Collect text outside of options of a list of items."""
        if self.lasttag != "option":
            super().handle_data(data)


def parts(html: str) -> list[str]:
    parser = Seen()
    parser.feed(html)
    return [" ".join(part.split()) for part in parser.parts]


@pytest.fixture
def pages(redis_client: redis.Redis) -> list[str]:
    """Fill the world with at least one row of each kind and list every page about it."""
    now = timezone.now()
    service = world.seed_services(now)[0]
    incident: Incident = world.incident(now)
    world.publish(redis_client)
    User.objects.create_superuser("root", password="correct horse")
    key = FeedKey(name="site", expires_at=now + timedelta(days=1))
    key.make_secret()
    key.save()
    Notification.objects.create(
        incident=incident, kind="opened", subject="[x]", body="x", created_at=now, next_attempt_at=now
    )
    item = ChecklistItem.objects.get(order=1)
    VerificationRun.objects.create(item=item, at=now, outcome="fail", observed="", method="")
    RuleState.objects.create(rule=Alert.objects.get().rule, subject="x", sampled_at=now)
    ProbeResult.objects.create(endpoint=Endpoint.objects.get(name="ws"), at=now, ok=False)
    own = [*(path.format(pk=service.pk) for path in PAGES), *EDITOR_PAGES, "/status/", "/audit/", "/admin/"]
    return [*own, *asked(service), *admin_pages()]


def asked(service: Service) -> list[str]:
    """The questions before an action."""
    return [f"/services/{service.pk}/act/{verb}/" for verb in ("restart", "check")]


def admin_pages() -> Iterator[str]:
    """Yield the list of each model, its form to add when there is one, and the page of its first row."""
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        row = model._default_manager.first()
        if row is not None:
            yield reverse(f"{name}_change", args=[row.pk])
        if type(model_admin).__dict__.get("has_add_permission") is None:
            yield reverse(f"{name}_add")


def read(client: Client, path: str, language: str) -> list[str]:
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    answer = client.get(path)
    assert answer.status_code in (200, 403), path
    assert f'<html lang="{language}"' in answer.content.decode(), path
    return parts(answer.content.decode())


def english() -> set[str]:
    """Return the messages that look different in Korean."""
    entries = [
        entry
        for folder in settings.LOCALE_PATHS
        for entry in polib.pofile(str(Path(folder) / "ko" / "LC_MESSAGES" / "django.po"))
        if not entry.msgid_plural and entry.msgstr != entry.msgid
    ]
    return {text for entry in entries for text in (entry.msgid, entry.msgid[:1].upper() + entry.msgid[1:])}


def packs() -> list[str]:
    """The shipped pack's words: rows in the installation's language, as if a person had written them."""
    rows = [*ItemPack.objects.values_list("name", "description"), *PackItem.objects.values_list("text")]
    return [text for row in rows for text in row]


def test_english_pages_hold_no_korean_but_data(client: Client, pages: list[str]) -> None:
    client.force_login(User.objects.get(username="root"))
    shipped = packs()

    for path in pages:
        for part in read(client, path, "en"):
            for data in (*DATA, *SAME, *shipped):
                part = part.replace(data, "")
            assert HANGUL.findall(part) == [], (path, part)


def test_korean_pages_hold_no_english_message(client: Client, pages: list[str]) -> None:
    client.force_login(User.objects.get(username="root"))
    messages = english()

    for path in pages:
        left = {part for part in read(client, path, "ko") if part.rstrip(":") in messages}
        assert left <= NAMES, path


@pytest.mark.parametrize(("language", "heading"), [("ko", "대시보드"), ("en", "Dashboard")])
def test_the_title_of_the_front_page_is_in_the_persons_language(
    client: Client, pages: list[str], language: str, heading: str
) -> None:
    client.force_login(User.objects.get(username="root"))

    assert any(heading in part for part in read(client, "/", language))


@pytest.mark.parametrize("path", ["/login/", "/nowhere/"])
def test_strangers_read_their_language_too(client: Client, redis_client: redis.Redis, path: str) -> None:
    shown = {}
    for language in ("ko", "en"):
        client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
        text = " | ".join(parts(client.get(path).content.decode()))
        for name in SAME:
            text = text.replace(name, "")
        shown[language] = text

    assert set(shown["ko"].split(" | ")) & english() == set()
    assert HANGUL.search(shown["ko"])
    assert not HANGUL.search(shown["en"])
