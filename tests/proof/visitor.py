"""Somebody who is signed in and looks at one page after the other."""

from __future__ import annotations

import itertools
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx

from tests.e2e.product import Product
from tests.proof.background import meanwhile

PAGES = (
    *("/", "/incidents/", "/checklist/", "/feed/operations/", "/watch/", "/services/1/", "/metrics"),
    *("/api/v1/services", "/api/v1/incidents", "/health/ready", "/admin/"),
)
#: Seconds between two pages.
EVERY_S = 2.0
#: Pages after which the web process holds what it holds from then on: 157 MiB at the first one, 170 MiB after
#: 900, 171 MiB after 6,000.
WARM_UP_PAGES = 1000


class Visitor:
    """Asks for a page every two seconds, in a thread until the block ends; ``answers`` counts by status."""

    def __init__(self, product: Product) -> None:
        found = re.search(r"admin\s*/\s*(\S+)", product.console)
        if found is None:
            raise AssertionError("the console shows no password")
        self.answers: Counter[str] = Counter()
        self._done = threading.Event()
        self._http = httpx.Client(base_url=product.url, timeout=30)
        page = "/admin/login/"
        self._http.get(page)
        body = {
            "username": "admin",
            "password": found[1],
            "csrfmiddlewaretoken": self._http.cookies["csrftoken"],
        }
        answer = self._http.post(page, data=body, headers={"referer": product.url})
        if answer.status_code != httpx.codes.FOUND:
            raise AssertionError(f"signing in: {answer.status_code}")

    def warm_up(self) -> None:
        """Ask for so many pages, one after the other, that each cache of theirs is full."""
        for page in itertools.islice(itertools.cycle(PAGES), WARM_UP_PAGES):
            self._http.get(page)

    @contextmanager
    def visiting(self) -> Iterator[None]:
        """Visit until the block ends."""
        with closing(self._http), meanwhile(self._run, self._done, "visitor"):
            yield

    def _run(self) -> None:
        for page in itertools.cycle(PAGES):
            if self._done.wait(EVERY_S):
                return
            try:
                status = self._http.get(page).status_code
                self.answers["200" if status == httpx.codes.OK else f"{status} of {page}"] += 1
            except httpx.HTTPError as error:
                self.answers[f"{type(error).__name__} of {page}"] += 1
