"""The charts of a real process in a real browser: drawn, zoomed by mouse and keys, told as a table."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.conditions import wait_until
from tests.e2e.product import Product
from tests.e2e.test_pages import sign_in

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(180)]


def test_charts_are_drawn_zoomed_by_brush_and_keys_and_told_as_a_table(
    product: Product, admin_password: str, chromium: Chromium
) -> None:
    wait_until(lambda: product.status()["services"], 40, "a sweep was stored", every=1)

    def steps(page: Page) -> None:
        sign_in(page, product, admin_password)
        page.goto(f"{product.url}/services/1/")
        state = page.locator("[data-history-state]")
        expect(state).to_contain_text("KST")
        canvas = page.locator("canvas[data-series=cpu]")
        wait_until(lambda: canvas.evaluate("c => Chart.getChart(c)?.data.datasets[0]?.data.length"), 15)

        box = canvas.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=5)
        expect(page.locator(".p-brush:not([hidden])")).to_be_visible()
        with page.expect_response("**/chart/?from=*") as answer:
            page.mouse.up()
        zoomed = answer.value.json()
        assert 500 < zoomed["to"] - zoomed["from"] < 1000, "a fifth of an hour, more or less"
        assert page.url.endswith(f"#{zoomed['from']}-{zoomed['to']}")

        canvas.focus()
        with page.expect_response("**/chart/?from=*") as answer:
            page.keyboard.press("ArrowLeft")
        assert answer.value.json()["to"] < zoomed["to"]
        with page.expect_response("**/chart/?range=1h"):
            page.keyboard.press("0")
        expect(page.locator("[data-range='1h']")).to_have_attribute("aria-pressed", "true")

        page.locator("details[data-history-table] summary").press("Enter")
        row = page.locator("details[data-history-table] tbody tr").first
        expect(row.locator("th")).to_be_visible()
        assert row.locator("td").count() == 8
        with page.expect_response("**/chart/?range=30d"):
            page.locator("[data-range='30d']").press("Enter")

    chromium.visit(steps)
    chromium.visit(steps, width=390)
