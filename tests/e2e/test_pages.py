"""Every page of the portal in a real browser: both languages, desk and phone, without an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.e2e.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]
PAGES = {
    "dashboard": "/",
    "incidents": "/incidents/",
    "incident": "/incidents/1/",
    "checklist": "/checklist/",
    "feed": "/feed/",
    "operations": "/feed/operations/",
    "service": "/services/1/",
    "watch": "/watch/",
    "docs": "/docs/feed/",
    "admin-checklist": "/admin/incidents/checklistitem/",
    "admin-rules": "/admin/monitoring/rule/",
    "admin-key": "/admin/gateway/feedkey/add/",
}
#: Pages for working on an incident, at a phone's width only.
WORK = (
    "/incidents/1/",
    "/incidents/1/report/",
    "/incidents/1/report/edit/",
    "/incidents/1/report/draft/",
    "/incidents/1/report/versions/",
    "/incidents/import/",
    "/checklist/1/",
    "/checklist/packs/",
    "/drills/",
    "/services/1/act/restart/",
    "/audit/",
)
#: What is wrong with a page for a thumb, a screen reader or the keyboard; names are enough to find it.
FAULTS = """() => {
  const seen = one => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== "hidden";
  const all = what => [...document.querySelectorAll(what)].filter(seen);
  const main = what => all(what.split(",").map(one => "#main " + one).join(","));
  const name = one => one.outerHTML.slice(0, 80);
  const levels = all("h1, h2, h3, h4, h5, h6").map(one => Number(one.tagName[1]));
  const ids = [...document.querySelectorAll("[id]")].map(one => one.id);
  const box = one => ["checkbox", "radio"].includes(one.type);
  return [
    ...main("input,select,textarea")
      .filter(one => !one.labels?.length && !one.getAttribute("aria-label"))
      .map(one => "no label: " + name(one)),
    ...main("button,.p-button,.p-input").filter(one => !box(one) && one.offsetHeight < 40)
      .map(one => `${one.offsetHeight} px high: ${name(one)}`),
    ...(levels.filter(one => one === 1).length === 1 ? [] : ["not one first heading"]),
    ...levels.filter((one, at) => at && one > levels[at - 1] + 1).map(one => `a heading skips to h${one}`),
    ...ids.filter((one, at) => ids.indexOf(one) !== at).map(one => "twice: #" + one),
  ];
}"""
#: Set SCREENSHOTS to a folder to keep what the browser showed.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


def sign_in(page: Page, product: Product, password: str) -> None:
    """Sign in as the admin."""
    page.goto(f"{product.url}/admin/login/?next=/")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{product.url}/")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_pages_show_without_errors_or_horizontal_scroll(
    product: Product, admin_password: str, chromium: Chromium, language: str, width: int
) -> None:
    problems: list[str] = []

    def steps(page: Page) -> None:
        page.context.add_cookies([{"name": "django_language", "value": language, "url": product.url}])
        sign_in(page, product, admin_password)
        for name, path in PAGES.items():
            answer = page.goto(product.url + path)
            assert answer is not None
            if answer.status != 200:
                problems.append(f"{path} answers {answer.status}")
            if page.locator("html").get_attribute("lang") != language:
                problems.append(f"{path} is not in {language}")
            scroll = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if scroll > 0:
                problems.append(f"{path} is {scroll} px too wide")
            if SCREENSHOTS:
                page.wait_for_timeout(1500)
                page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{language}-{width}.png", full_page=True)

    chromium.visit(steps, width=width, language="ko-KR" if language == "ko" else "en-US")

    assert problems == []


def test_pages_of_an_incident_suit_a_thumb_and_a_screen_reader(
    product: Product, admin_password: str, chromium: Chromium
) -> None:
    problems: list[str] = []

    def steps(page: Page) -> None:
        sign_in(page, product, admin_password)
        for path in WORK:
            answer = page.goto(product.url + path)
            if answer is None or answer.status != 200:
                problems.append(f"{path} answers {answer and answer.status}")
            scroll = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if scroll > 0:
                problems.append(f"{path} is {scroll} px too wide")
            problems.extend(f"{path}: {fault}" for fault in page.evaluate(FAULTS))

    chromium.visit(steps, width=390, height=844)

    assert problems == []


def test_the_keyboard_reaches_a_restart_before_the_report(
    product: Product, admin_password: str, chromium: Chromium
) -> None:
    def steps(page: Page) -> tuple[str, list[str]]:
        sign_in(page, product, admin_password)
        page.goto(f"{product.url}/incidents/1/")
        page.keyboard.press("Tab")
        first = str(page.evaluate("document.activeElement.getAttribute('href')"))
        order = page.locator("#actions-title, #timeline-title, #report-title").all()
        return first, [str(one.get_attribute("id")) for one in order]

    first, order = chromium.visit(steps)

    assert first == "#content"
    assert order == ["actions-title", "timeline-title", "report-title"]


def test_the_feed_page_shows_prices_that_change(
    product: Product, admin_password: str, chromium: Chromium
) -> None:
    def steps(page: Page) -> tuple[str, str]:
        sign_in(page, product, admin_password)
        page.goto(f"{product.url}/feed/")
        expect(page.get_by_text("005930").first).to_be_visible()
        table = page.locator("main, body").first
        before = table.inner_text()
        page.wait_for_function(
            "before => (document.querySelector('main') || document.body).innerText !== before", arg=before
        )
        return before, table.inner_text()

    before, after = chromium.visit(steps)

    assert before != after
