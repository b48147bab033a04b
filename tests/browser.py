"""A real Chromium, driven by Playwright in a thread of its own.

Playwright's synchronous API runs an event loop in its thread; kept out of the main thread it disturbs
neither asynchronous tests nor Django's ORM.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

from tests.require import require

T = TypeVar("T")
#: What Chromium answers to a request that was connecting when an address of the machine came or went, as they
#: do while another test starts a container. It has no switch for that.
DISTURBED = "net::ERR_NETWORK_CHANGED"
#: How often a page is visited that another test's network disturbs.
VISITS = 3
CHROMIUM = shutil.which("chromium")
#: Quiet flags: the browser must not look for the outside world.
FLAGS = (
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
)


class Chromium:
    """One browser; ``visit`` runs steps on a fresh page and fails on any console or page error."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chromium")
        self._playwright, self._browser = self._thread.submit(self._launch).result()

    @staticmethod
    def _launch() -> tuple[Playwright, Browser]:
        playwright = sync_playwright().start()
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *sandbox])
        return playwright, browser

    def visit(
        self,
        steps: Callable[[Page], T],
        *,
        width: int = 1440,
        height: int = 900,
        language: str = "ko-KR",
        expected: str = "",
    ) -> T:
        """Run ``steps`` on a new page of that size in the browser's thread and return their result.

        ``expected`` is a part of console errors that belong to the test, such as a server that is away.
        Steps that a change of the machine's network disturbed are run again, on another new page.

        Raises:
            AssertionError: the page wrote another error to its console or threw one.
        """

        def once(errors: list[str]) -> T:
            visit = self._thread.submit(self._visit, steps, width, height, language, expected, errors)
            return visit.result()

        for _ in range(VISITS - 1):
            errors: list[str] = []
            try:
                return once(errors)
            except Exception as error:
                if not any(DISTURBED in text for text in (*errors, str(error))):
                    raise
        return once([])

    def _visit(
        self,
        steps: Callable[[Page], T],
        width: int,
        height: int,
        language: str,
        expected: str,
        errors: list[str],
    ) -> T:
        def note(message: ConsoleMessage) -> None:
            if message.type == "error" and not (expected and expected in message.text):
                errors.append(f"{message.text} ({message.location.get('url')})")

        context = self._browser.new_context(
            viewport={"width": width, "height": height}, locale=language, timezone_id="Asia/Seoul"
        )
        try:
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("console", note)
            page.on("pageerror", lambda error: errors.append(str(error)))
            result = steps(page)
        finally:
            context.close()
        assert not errors, f"the browser's console has errors: {errors}"
        return result

    def close(self) -> None:
        """Close the browser and its thread."""
        self._thread.submit(self._browser.close).result()
        self._thread.submit(self._playwright.stop).result()
        self._thread.shutdown()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A headless Chromium for the whole run."""
    require(CHROMIUM, "Chromium")
    browser = Chromium()
    yield browser
    browser.close()
