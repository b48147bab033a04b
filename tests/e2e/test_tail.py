"""The live log in a real browser, read by the real worker: by keyboard, on a phone, with hostile lines."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.conditions import wait_until
from tests.e2e.product import Product
from tests.e2e.test_pages import sign_in

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(180)]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
HOSTILE = "<img src=x onerror=document.title='owned'> \x1b[31mtoken=hunter2\x1b[0m \u202ertl"


def _service_page(product: Product) -> str:
    """Return the address of the simulator's page; the collector has found it."""

    def found() -> int | None:
        with sqlite3.connect(product.folder / "bonghwa.sqlite3") as database:
            row = database.execute("SELECT id FROM monitoring_service WHERE name='simulator'").fetchone()
        return row[0] if row else None

    return f"{product.url}/services/{wait_until(found, 30, 'the simulator is found')}/"


@pytest.mark.parametrize(("width", "language", "scheme"), [(1440, "ko", "light"), (390, "en", "dark")])
def test_a_live_log_follows_filters_pauses_and_ends(
    product: Product, admin_password: str, chromium: Chromium, width: int, language: str, scheme: str
) -> None:
    address = _service_page(product)
    log = product.folder / "logs" / "simulator.log"

    def write(text: str) -> None:
        with log.open("a") as file:
            file.write(text + "\n")

    def steps(page: Page) -> None:
        page.context.add_cookies([{"name": "django_language", "value": language, "url": product.url}])
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # a parameter of this test
        sign_in(page, product, admin_password)
        page.goto(address)
        lines = page.locator("[data-tail-lines]")
        page.locator("[data-tail-start]").focus()
        page.keyboard.press("Enter")
        write(HOSTILE)
        expect(lines).to_contain_text("<img src=x onerror=document.title='owned'> token=[secret] rtl")
        assert lines.locator("img").count() == 0
        assert page.title() != "owned"
        expect(page.locator("[data-tail-state]")).to_have_attribute("data-state", "open")

        page.keyboard.press("Enter")  # the focus went to Pause
        expect(page.locator("[data-tail-pause]")).to_have_attribute("aria-pressed", "true")
        with page.expect_response(lambda answer: "written while paused" in answer.text()):
            write("written while paused")
        expect(lines).not_to_contain_text("written while paused")
        page.keyboard.press("Enter")
        expect(lines).to_contain_text("written while paused")

        page.locator("[data-tail-filter]").fill("WHILE PAUSED")
        expect(lines.locator("[data-line]:visible")).to_have_count(1)
        page.locator("[data-tail-filter]").fill("")
        write("\n".join(f"flood {n}" for n in range(2_500)))
        expect(lines.locator("[data-line]").last).to_have_text("flood 2499")
        assert lines.locator("[data-line]").count() <= 1_000
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        if SCREENSHOTS:
            write("2026-02-06 09:15:01 WARNING upstream: 12 attempts in 8 min, last: timeout, next in 57 s")
            page.wait_for_timeout(3000)
            page.locator(".p-tail").screenshot(path=Path(SCREENSHOTS) / f"tail-{language}-{width}.png")
        page.locator("[data-tail-stop]").click()
        expect(page.locator("[data-tail-start]")).to_be_visible()

    chromium.visit(steps, width=width, language="ko-KR" if language == "ko" else "en-US")


def test_the_lease_ends_within_ten_seconds_of_the_last_watcher(
    product: Product, admin_password: str, chromium: Chromium
) -> None:
    address = _service_page(product)

    def steps(page: Page) -> None:
        sign_in(page, product, admin_password)
        page.goto(address)
        page.locator("[data-tail-start]").click()
        expect(page.locator("[data-line]").first).to_be_visible()

    chromium.visit(steps)
    client = redis.Redis(port=int(product.env["EMBEDDED_REDIS_PORT"]))
    try:
        number = address.rstrip("/").rpartition("/")[2]
        ends = float(client.zscore("tail:watched", number) or 0)
    finally:
        client.close()
    assert ends, "somebody watched"
    assert ends - time.time() <= 10
