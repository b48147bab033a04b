"""The operators' feed page in a real browser, with real web processes and a real client of ``/ws``."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest
import redis
import websockets
from playwright.sync_api import Page, expect

from gateway import keys
from gateway.feed_report import FeedReport, TopicLoad
from gateway.status import FeedStatus
from tests.browser import Chromium
from tests.conditions import wait_until
from tests.gateway.feed_world import ROOT, Feed, Upstream, Web, reg, web_server

pytestmark = [pytest.mark.slow, pytest.mark.browser]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def webs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Web, Web]]:
    """Two web processes on one Redis and one database; Carol may sign in at both."""
    folder = tmp_path_factory.mktemp("operations")
    shared = {"DATABASE_URL": f"sqlite:///{folder / 'a' / 'shared.sqlite3'}", "SECRET_KEY": "x" * 50}
    with (
        web_server(folder / "a", **shared) as first,
        web_server(folder / "b", first.redis_url, **shared) as second,
    ):
        words = ["createsuperuser", "--noinput", "--username", "carol", "--email", "carol@example.com"]
        environment = first.environment() | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        yield first, second


def sign_in(page: Page, web: Web) -> None:
    """Open the operators' page as Carol, who reads English."""
    cookie = {"name": "django_language", "value": "en", "url": web.url}
    page.context.add_cookies([cookie])  # type: ignore[list-item] # a dict is what it takes
    page.goto(f"{web.url}/admin/login/?next=/feed/operations/")
    page.fill("input[name=username]", "carol")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{web.url}/feed/operations/", timeout=60_000)
    expect(page.locator("[data-live-state]")).to_have_text("Live")


class Member:
    """A client of ``/ws`` in a thread of its own; ``end`` is how its connection ended."""

    def __init__(self, web: Web, token: str, item: str) -> None:
        self.end: tuple[int | None, dict[str, object]] | None = None
        self._args = (web, token, item)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(*self._args)))
        self._thread.start()

    async def _run(self, web: Web, token: str, item: str) -> None:
        feed = Feed(await websockets.connect(web.ws))
        await feed.login(token)
        await feed.send(reg(item))
        self.end = await feed.closed(within=60)

    def join(self) -> None:
        self._thread.join(60)


def test_an_operator_ends_a_connection_of_another_process_with_the_keyboard(
    webs: tuple[Web, Web], chromium: Chromium
) -> None:
    here, there = webs
    with redis.Redis.from_url(here.redis_url) as client:
        upstream = Upstream(client)
        upstream.status(ttl=300)
        token = here.token(here.feed_key("trading-bot"))

        def steps(page: Page) -> Member:
            sign_in(page, here)
            member = Member(there, token, "005930")
            row = page.locator("[data-panel=feed_connections] tbody", has_text="trading-bot")
            expect(row).to_be_visible()
            wait_until(lambda: upstream.publish(61_000, 61_100), what="subscribed")
            expect(page.locator("[data-panel=feed_topics]")).to_contain_text("0B:005930")

            button = row.get_by_role("link", name="Disconnect trading-bot, 127.0.0.1")
            button.focus()
            address = button.get_attribute("href")
            # New panels arrive meanwhile; the reader's place must survive them.
            page.evaluate("document.activeElement.dataset.old = '1'")
            expect(page.locator("[data-old]")).to_have_count(0)
            assert page.evaluate("document.activeElement.getAttribute('href')") == address
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Disconnect this client?")).to_be_visible()
            page.get_by_label("Reason; the client is told").focus()
            page.keyboard.type("maintenance of the bot")
            page.keyboard.press("Enter")
            expect(page.get_by_text("The client was disconnected.")).to_be_visible()
            expect(page.locator("[data-panel=feed_audit]")).to_contain_text("carol: maintenance of the bot")
            expect(page.locator("[data-panel=feed_connections]")).to_contain_text("No client is connected")
            expect(page.locator("[data-panel=feed_closes]")).to_contain_text("1012")
            return member

        member = chromium.visit(steps, language="en-US")
        member.join()

    assert member.end is not None
    code, reason = member.end
    assert (code, reason["reason"]) == (1012, "maintenance of the bot")
    assert reason["retry_after"]


def test_enter_in_a_reason_presses_no_button_of_the_gateway(
    webs: tuple[Web, Web], chromium: Chromium
) -> None:
    def steps(page: Page) -> object:
        sign_in(page, webs[0])
        page.get_by_text("Control the connection").click()
        page.evaluate(
            "window.sent = []; addEventListener('submit', (event) => sent.push(event.submitter?.value))"
        )
        reason = page.get_by_label("Reason (key-1)")
        reason.fill("maintenance")
        reason.press("Enter")
        before = page.evaluate("sent")
        page.get_by_role("button", name="Open breaker").press("Enter")
        expect(page.get_by_text("The gateway was told.")).to_be_visible()
        return before

    assert chromium.visit(steps, language="en-US") == []


def test_new_panels_leave_a_list_where_its_reader_scrolled_to(
    webs: tuple[Web, Web], chromium: Chromium
) -> None:
    here = webs[0]
    with redis.Redis.from_url(here.redis_url) as client:

        def report(rate: float) -> None:
            now = time.time()
            topics = tuple(
                TopicLoad(name=f"0B:{number:06}", subscribers=1, rows_per_s=rate) for number in range(100)
            )
            status = FeedStatus(process="elsewhere", at=now, connections=0)
            client.set(keys.FEED.format(process="elsewhere"), orjson.dumps(asdict(status)), ex=60)
            found = FeedReport(process="elsewhere", at=now, topics=topics, topics_total=100)
            client.set(keys.FEED_REPORT.format(process="elsewhere"), found.encode(), ex=60)

        def steps(page: Page) -> object:
            report(1.5)
            sign_in(page, here)
            topics = page.locator("#topics-scroll")
            expect(topics).to_contain_text("0B:000099")
            topics.focus()
            topics.evaluate("element => { element.scrollTop = 300; element.dataset.old = '1' }")
            report(2.5)
            expect(page.locator("#topics-scroll[data-old]")).to_have_count(0, timeout=15_000)
            expect(topics).to_contain_text("2.5")
            return page.evaluate("[document.activeElement.id, document.activeElement.scrollTop]")

        place = chromium.visit(steps, language="en-US")

    assert place == ["topics-scroll", 300]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_documentation_fits_the_screen(
    webs: tuple[Web, Web], chromium: Chromium, width: int, dark: bool
) -> None:
    def steps(page: Page) -> tuple[int, str]:
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.goto(f"{webs[0].url}/docs/feed/")
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"docs-{width}-{dark}.png", full_page=True)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return over, page.evaluate("getComputedStyle(document.body).backgroundColor")

    over, background = chromium.visit(steps, width=width)

    assert over <= 0
    assert (background == "rgb(255, 255, 255)") is not dark
