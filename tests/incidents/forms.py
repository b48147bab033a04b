"""What a browser would send back from a page of the admin."""

from __future__ import annotations

from html.parser import HTMLParser


class _Form(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id = form_id
        self.inside = False
        self.data: dict[str, list[str]] = {}
        self.buttons: set[str] = set()
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.inside = given.get("id") == self.form_id
        name = given.get("name", "")
        ours = self.inside or given.get("form") == self.form_id
        if not ours or "__prefix__" in name or "disabled" in given:
            return
        if tag in ("input", "button") and given.get("type") in ("submit", "button", "image"):
            self.buttons.add(name)
        elif tag == "input":
            box = given.get("type") in ("checkbox", "radio")
            if not box or "checked" in given:
                self.data.setdefault(name, []).append(given.get("value", "on" if box else ""))
        elif tag in ("textarea", "select"):
            self._open = name
            if tag == "textarea":
                self.data[name] = [""]
        elif tag == "option" and "selected" in given and self._open:
            self.data.setdefault(self._open, []).append(given.get("value", ""))

    def handle_data(self, data: str) -> None:
        if self._open and self.lasttag == "textarea":
            self.data[self._open][0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.inside = False
        elif tag == "textarea" and self._open:
            # A browser drops the one line break that follows the tag.
            self.data[self._open][0] = self.data[self._open][0].removeprefix("\r").removeprefix("\n")
        if tag in ("textarea", "select"):
            self._open = ""


def form_of(html: str, form_id: str) -> tuple[dict[str, list[str]], set[str]]:
    """Return the values of the form by name, and the names of its buttons."""
    parser = _Form(form_id)
    parser.feed(html)
    parser.data.pop("", None)
    return parser.data, parser.buttons - {""}
