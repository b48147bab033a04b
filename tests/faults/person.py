"""A person who works through the pages all the time: marked notes, report edits, measures and claims."""

from __future__ import annotations

import itertools
import re
import threading
from contextlib import suppress

import httpx

from tests.faults.ledger import Ledger

#: Seconds between two writes, and the longest wait for an answer.
EVERY_S = 0.5
ANSWER_S = 15.0
#: Report edits: the product keeps the last 200 versions of a report, so that more could not be found again.
EDITS_MOST = 150
INCIDENT = 1
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_SEEN = re.compile(r'name="seen" value="(\d+)"')


class Person:
    """Writes from a thread of its own until the block ends; ``ledger`` has what was acknowledged."""

    def __init__(self, url: str, password: str, name: str = "admin") -> None:
        self.ledger = Ledger()
        self._url, self._name, self._password = url, name, password
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._http = httpx.Client(base_url=url, timeout=ANSWER_S, headers={"Accept-Language": "en"})
        self._numbers = itertools.count(1)
        self._edits = 0

    def __enter__(self) -> Person:
        self._sign_in()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._http.close()

    def _sign_in(self) -> None:
        page = self._http.get("/login/").raise_for_status().text
        token = _TOKEN.search(page)
        assert token, page[:500]
        body = {"csrfmiddlewaretoken": token[1], "username": self._name, "password": self._password}
        answer = self._http.post("/login/", data=body)
        assert answer.status_code == httpx.codes.FOUND, answer.text[:500]

    def _work(self) -> None:
        while not self._over.wait(EVERY_S):
            mark = f"mark-{next(self._numbers):06d}"
            self._try("note", mark)
            if self._edits < EDITS_MOST:
                self._edits += 1
                self._try("edit", mark)
            if (item := self._try("item", mark)) is not None:
                self._try("claim", item)

    def _try(self, kind: str, mark: str) -> str | None:
        """Write once and note what was answered; return the new item's number."""
        # Before it is sent, since it may be stored and compared while the answer is on its way.
        self.ledger.note((kind, mark), acknowledged=False)
        try:
            answer = getattr(self, f"_{kind}")(mark)
        except httpx.HTTPError:
            return None
        if answer is None:
            return None
        done = answer.status_code == httpx.codes.FOUND and "/login/" not in answer.headers["location"]
        if done:
            self.ledger.note((kind, mark), acknowledged=True)
        if answer.status_code == httpx.codes.FOUND and not done:
            with suppress(httpx.HTTPError, AssertionError):  # the sessions were lost with what kept them
                self._sign_in()
        if done and kind == "item":
            return answer.headers["location"].rstrip("/").rpartition("/")[2]  # type: ignore[no-any-return]
        return None

    def _post(self, path: str, **body: str) -> httpx.Response:
        token = self._http.cookies.get("csrftoken", "")
        return self._http.post(path, data={"csrfmiddlewaretoken": token, **body})

    def _note(self, mark: str) -> httpx.Response:
        return self._post(f"/incidents/{INCIDENT}/act/", verb="note", reason=mark)

    def _edit(self, mark: str) -> httpx.Response | None:
        path = f"/incidents/{INCIDENT}/report/edit/"
        with suppress(httpx.HTTPError):
            page = self._http.get(path)
            if seen := _SEEN.search(page.text):
                head = {"head-title": "Report", "head-root_cause": mark}
                return self._post(path, section="head", seen=seen[1], **head)
        return None

    def _item(self, mark: str) -> httpx.Response:
        return self._post("/checklist/add/", text=mark, priority="P2")

    def _claim(self, item: str) -> httpx.Response:
        return self._post(f"/checklist/{item}/act/", verb="claim")
