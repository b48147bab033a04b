"""The dry-run button in the rule's form, in a real browser."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page

from portal.monitoring.models import Observation, Rule, RuntimeKind, Service
from tests.browser import Chromium

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]


def test_the_button_tells_how_often_the_edited_rule_would_have_fired(
    live_server, chromium: Chromium, client: Client
) -> None:
    if not Rule.objects.exists():
        # An earlier test of this kind emptied the tables.
        import_module("portal.monitoring.migrations.0002_defaults").add(apps, None)
    service = Service.objects.create(runtime=RuntimeKind.DOCKER, name="api", discovered_at=timezone.now())
    Observation.objects.bulk_create(
        Observation(service=service, at=timezone.now() - timedelta(seconds=5 * number), cpu_percent=95.0)
        for number in range(12)
    )
    rule = Rule.objects.get(name="cpu-sustained")
    user = User.objects.create_superuser("root")
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    cookie = client.cookies["sessionid"].value

    def steps(page: Page) -> list[str]:
        page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        page.goto(f"{live_server.url}/admin/monitoring/rule/{rule.pk}/change/")
        told = []
        for limit in ("90", "96"):
            page.fill("#id_open_above", limit)
            with page.expect_response(lambda answer: "dry-run" in answer.url):
                page.get_by_role("button", name="과거 기록으로 시험").click()
            page.wait_for_selector("#dry-run-result strong")
            told.append(page.inner_text("#dry-run-result strong"))
        return told

    told = chromium.visit(steps)
    assert ["1" in told[0], "0" in told[1]] == [True, True]
    assert Rule.objects.get(pk=rule.pk).open_above == 90
