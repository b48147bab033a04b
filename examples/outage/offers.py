"""Which rows of *Compare with a new draft* are taken over. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from html.parser import HTMLParser

from examples.outage.people import ROW
from incidents.reports.layout import NO_DATA

_NOTHING = {"", "—", *(word.lower() for word in NO_DATA.values())}
_EVIDENCE = re.compile(r"#evidence-(\d+)$")


@dataclass(slots=True)
class Offer:
    """One offered row: its checkbox, what is done to it, its evidence, and the cells that it has now."""

    token: str
    kind: str = ""
    evidence: int | None = None
    cells: tuple[str, ...] = ()

    @property
    def is_unmeasured(self) -> bool:
        """Whether the report has nothing there."""
        return self.kind == "new" or any(cell.strip().lower() in _NOTHING for cell in self.cells)


class _Offers(HTMLParser):
    """Reads the offered rows, which end with their form."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Offer] = []
        self._row: Offer | None = None
        self._in_old = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("name") == ROW:
            self._row = Offer(given.get("value", ""))
            self.rows.append(self._row)
        elif self._row is None:
            return
        elif "p-change" in given.get("class", "").split():
            self._row.kind = given["class"].rpartition("is-")[2]
        elif found := _EVIDENCE.search(given.get("href", "")):
            self._row.evidence = int(found[1])
        elif tag == "del":
            self._row.cells += ("",)
            self._in_old = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "del":
            self._in_old = False
        elif tag == "form":
            self._row = None

    def handle_data(self, data: str) -> None:
        if self._in_old and self._row is not None:
            self._row.cells = (*self._row.cells[:-1], self._row.cells[-1] + data)


def chosen(page: str, frozen: Collection[int]) -> list[str]:
    """Return the values of the checkboxes to tick.

    Taken is what the report had no data for, and what the evidence of the keys ``frozen`` says; evidence that
    was frozen after the restart tells of the healthy service. Nothing is deleted.
    """
    reader = _Offers()
    reader.feed(page)
    rows = [row for row in reader.rows if row.kind != "gone"]
    return [row.token for row in rows if row.is_unmeasured or row.evidence in frozen]
