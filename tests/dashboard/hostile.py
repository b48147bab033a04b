"""Hostile text, and the places where it must not come to life."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

SECRET = "hunter2hunter2"
#: Payload by what it attacks. Each begins with a word that is looked for again.
PAYLOADS: dict[str, bytes] = {
    "html": b'evilhtml <x-evil onxevil=1></td></pre></script><script>xevil()</script> "\' onxevil=1 x="',
    "template": b"eviltemplate {{ portal.now }} {% include 'x' %} ${7*7} %(name)s %s {0}",
    "ansi": b"evilansi \x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://xevil\x1b\\link \x9b2J",
    "markdown": b"evilmarkdown [a](javascript:xevil) ![b](http://xevil/x.png) <x-evil> | a | `c` **d** ## e",
    "markdown block": b"```\n| evilblock | x |\n|---|---|\n# evilblock\n- [x] evilblock done\n<x-evil>\n",
    "formula": b'=evilformula HYPERLINK("http://xevil","x")',
    "direction": "evildirection \u202egnp.exe \u2066x\u2069 \ufeff\u200b".encode(),
    "control": b"evilcontrol \x00\x01\x08\x0c\x1f\x7f\r rest",
    "invalid utf-8": b"evilutf \xff\xfe\xc3\x28 \xed\xa0\x80",
    "secret": f"evilsecret token={SECRET} Authorization: Bearer {SECRET}".encode(),
    "long": b"evillong " + b"A" * 10_000_000,
}
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
#: Characters of a page, and of an answer to a program.
MAX_PAGE = 3_000_000


class Alive(HTMLParser):
    """Collects what a payload would have become had it not been escaped."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        if tag == "x-evil":
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            target = (value or "").strip().lower()
            if name == "onxevil" or (
                name in ("href", "src") and target.startswith(("javascript:xevil", "http://xevil"))
            ):
                self.found.append(f"{tag}[{name}={value}]")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and "xevil()" in data:
            self.found.append("script")


def problems_of_html(html: str) -> list[str]:
    """What is wrong with a page that shows hostile text."""
    reader = Alive()
    reader.feed(html)
    reader.close()
    return reader.found + problems_of_text(html)


def problems_of_text(text: str) -> list[str]:
    """What is wrong with any answer."""
    found = [f"control character {character!r}" for character in set(CONTROL.findall(text))]
    if SECRET in text:
        found.append("a secret")
    if len(text) > MAX_PAGE:
        found.append(f"{len(text):,} characters")
    return found


def problems_of_markdown(text: str) -> list[str]:
    """What is wrong with Markdown once somebody renders it with raw HTML allowed."""
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    return problems_of_html(rendered) + problems_of_text(text)
