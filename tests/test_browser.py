"""What the tests' browser takes for a fault of a page, and what for the machine's."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser import DISTURBED, VISITS, Chromium

pytestmark = pytest.mark.browser


def test_a_page_that_a_change_of_the_network_disturbed_is_visited_again(chromium: Chromium) -> None:
    pages: list[Page] = []

    def steps(page: Page) -> str:
        pages.append(page)
        if len(pages) == 1:
            page.evaluate("text => console.error(text)", f"Failed to load resource: {DISTURBED}")
        if len(pages) == 2:
            raise RuntimeError(f"Page.goto: {DISTURBED} at http://127.0.0.1/")
        return "seen"

    assert chromium.visit(steps) == "seen"
    assert len(set(pages)) == VISITS == 3


def test_a_network_that_never_settles_is_an_error(chromium: Chromium) -> None:
    with pytest.raises(AssertionError, match=DISTURBED):
        chromium.visit(lambda page: page.evaluate("text => console.error(text)", DISTURBED))


def test_any_other_error_of_a_page_counts_at_once(chromium: Chromium) -> None:
    visits: list[Page] = []

    def steps(page: Page) -> None:
        visits.append(page)
        page.evaluate("console.error('theme is not defined')")

    with pytest.raises(AssertionError, match="theme is not defined"):
        chromium.visit(steps)
    assert len(visits) == 1
