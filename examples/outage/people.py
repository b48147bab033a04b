"""The people of the demonstration: two accounts for its time, each with a browser's few skills."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpx
from django.contrib.auth.models import Group, User

from examples.outage.stage import StageError
from incidents.roles import EDITOR, OPERATOR

#: The name of each account by its role. The address marks them as the demonstration's.
NAMES: Mapping[str, str] = {OPERATOR: "demo-operator", EDITOR: "demo-editor"}
MARK = "demo-outage@bonghwa.invalid"
TIMEOUT_S = 30.0
#: Name of the checkbox of each row that a new draft offers.
ROW = "row"


@dataclass(slots=True)
class Button:
    """A submit button."""

    name: str
    value: str
    disabled: bool


@dataclass(slots=True)
class Form:
    """What a browser would send of a form; of its checkboxes only the names."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)
    boxes: set[str] = field(default_factory=set)


class _Page(HTMLParser):
    """Reads forms and links."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif tag == "form":
            self._form = Form(given.get("action", ""))
            self.forms.append(self._form)
        elif self._form is not None and tag == "button":
            button = Button(given.get("name", ""), given.get("value", ""), "disabled" in given)
            self._form.buttons.append(button)
        elif self._form is not None and tag == "input" and given.get("type") == "checkbox":
            self._form.boxes.add(given.get("name", ""))
        elif self._form is not None and tag == "input":
            self._form.fields[given.get("name", "")] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None


def read(html: str) -> tuple[list[Form], list[str]]:
    """Return the forms and the addresses of the links on a page."""
    page = _Page()
    page.feed(html)
    return page.forms, page.links


class Person:
    """Somebody signed in, who reads pages and presses what is on them."""

    def __init__(self, base: str, name: str, password: str, lang: str) -> None:
        self.name = name
        self._http = httpx.Client(
            base_url=base,
            timeout=TIMEOUT_S,
            headers={"Accept-Language": lang},
            trust_env=False,
        )
        self.press("/login/", fill={"username": name, "password": password})
        if "sessionid" not in self._http.cookies:
            raise StageError(f"{name} cannot sign in at {base}/login/")

    def get(self, path: str) -> httpx.Response:
        """Return what ``path`` answers.

        Raises:
            StageError: it does not answer, or with an error.
        """
        return self._done(self._http.build_request("GET", path))

    def link(self, path: str, containing: str) -> str:
        """Return the address of the first link on a page that contains a text.

        Raises:
            StageError: the page has none.
        """
        found = next((one for one in read(self.get(path).text)[1] if containing in one), None)
        if found is None:
            raise StageError(f"{path} offers {self.name} no link to …{containing}…")
        return found

    def press(
        self,
        path: str,
        value: str = "",
        *,
        fill: Mapping[str, str] | None = None,
        tick: list[str] | None = None,
    ) -> None:
        """Press the button of that value (any, when empty) in the form that has the fields of ``fill``.

        ``tick`` are the values of the checkboxes of rows that are ticked.

        Raises:
            StageError: the page offers no such button, or it is refused.
        """
        fill = fill or {}
        for form in read(self.get(path).text)[0]:
            if not set(fill) <= set(form.fields) or (tick is not None and ROW not in form.boxes):
                continue
            button = next((one for one in form.buttons if not value or one.value == value), None)
            if button is None or button.disabled:
                continue
            data: dict[str, str | list[str]] = {**form.fields, **fill}
            if button.name:
                data[button.name] = button.value
            if tick is not None:
                data[ROW] = tick
            address = urljoin(path, form.action) if form.action else path
            headers = {"Referer": str(self._http.base_url.join(path))}
            request = self._http.build_request("POST", address, data=data, headers=headers)
            self._done(request)
            return
        raise StageError(f"{path} offers {self.name} no button “{value or 'submit'}”")

    def _done(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = self._http.send(request)
        except httpx.HTTPError as error:
            raise StageError(f"{request.method} {request.url.path}: {error}") from error
        if answer.is_error or answer.headers.get("Location", "").startswith("/login/"):
            raise StageError(
                f"{request.method} {request.url.path} answers {answer.status_code} to {self.name}"
            )
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class Cast:
    """Makes the accounts, signs them in, and removes the accounts at the end; the audit keeps their names."""

    def __init__(self, base: str, lang: str) -> None:
        self._base, self._lang = base, lang
        self._people: list[Person] = []

    def __enter__(self) -> Self:
        remove()
        if taken := list(User.objects.filter(username__in=NAMES.values()).values_list("username", flat=True)):
            raise StageError(f"accounts of these names exist already: {', '.join(taken)}; rename them")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for person in self._people:
            person.close()
        remove()

    def enter(self, role: str) -> Person:
        """Make the account of ``role`` and sign it in."""
        password = secrets.token_urlsafe(24)
        user = User.objects.create_user(NAMES[role], MARK, password)
        user.groups.add(Group.objects.get(name=role))
        person = Person(self._base, NAMES[role], password, self._lang)
        self._people.append(person)
        return person


def remove() -> None:
    """Delete the demonstration's accounts; what they did stays in the audit under their names."""
    User.objects.filter(username__in=NAMES.values(), email=MARK).delete()
