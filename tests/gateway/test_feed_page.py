"""The feed page in a real browser: items are added and removed with the keyboard, prices are shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.gateway.feed_world import ROOT, Upstream, Web, web_server

pytestmark = [pytest.mark.slow, pytest.mark.browser]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process with one person."""
    with web_server(tmp_path_factory.mktemp("feed-page")) as web:
        words = ["createsuperuser", "--noinput", "--username", "carol", "--email", "carol@example.com"]
        environment = web.environment() | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        yield web


def sign_in(page: Page, web: Web) -> None:
    cookie = {"name": "django_language", "value": "en", "url": web.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item] # a dict is what it takes
    page.goto(f"{web.url}/login/?next=/feed/")
    page.fill("input[name=username]", "carol")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{web.url}/feed/", timeout=60_000)


def test_items_are_added_and_removed_with_the_keyboard(web: Web, chromium: Chromium) -> None:
    with redis.Redis.from_url(web.redis_url) as client:
        upstream = Upstream(client)
        upstream.status(ttl=300)
        upstream.last(61_100)

        def steps(page: Page) -> None:
            sign_in(page, web)
            expect(page.locator("#feed-banner [role=status]")).to_have_text("Live")
            samsung = page.locator("[data-item='005930']")
            expect(samsung).to_contain_text("61,100")

            page.get_by_label("Item code or name").focus()
            page.keyboard.type("kia")
            page.keyboard.press("Enter")
            kia = page.locator("[data-item='000270']")
            expect(kia).to_be_visible()
            page.keyboard.type("samsung")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_contain_text("six letters or digits")

            page.get_by_role("button", name="Remove Kia").focus()
            page.keyboard.press("Enter")
            expect(kia).to_have_count(0)
            assert page.evaluate("document.activeElement.ariaLabel").startswith("Remove ")
            page.reload()
            expect(samsung).to_contain_text("61,100")
            expect(kia).to_have_count(0)

        chromium.visit(steps, language="en-US")
