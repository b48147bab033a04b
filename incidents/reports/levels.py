"""Heading levels as the layout has them: for reports whose sections are all ``#``, ``####`` or bold lines.

Only a text that has no section of the layout where the layout has them (``##``, ``###``) is read this way,
and its sections are printed there: what was exported is never moved again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from incidents.reports.layout import SLOTS, known_slot
from incidents.reports.scan import ANY_HEADING, HEADING, Line, heading

_BOLD = re.compile(r"^(?:\*\*(?=[^\s*])([^*]+)\*\*|__(?=[^\s_])([^_]+)__)[ \t]*$")
_DEEPEST = 6


def levelled(lines: Sequence[Line]) -> list[Line]:
    """Return ``lines`` with the sections of the layout at its levels, if they stand at others throughout."""
    found = list(lines)
    levels = [len(marks) for _at, marks, text in _headings(found) if _names_group(text)]
    if any(level in (2, 3) for level in levels):
        return found
    if levels:
        return _moved(found, 2 - min(levels))
    return _unbolded(found)


def _headings(lines: Sequence[Line]) -> Iterator[tuple[int, str, str]]:
    """Yield position, marks and the rest of the line of every heading of one to six marks."""
    for at, line in enumerate(lines):
        if not line.fenced and ANY_HEADING.match(line.text):
            marks = line.text[: len(line.text) - len(line.text.lstrip("#"))]
            yield at, marks, line.text[len(marks) :]


def _names_group(text: str) -> bool:
    slot = known_slot(text)
    return slot is not None and SLOTS[slot] == slot


def _moved(lines: list[Line], by: int) -> list[Line]:
    """Move every heading by so many levels; a first heading that is no section is the title."""
    for position, (at, marks, rest) in enumerate(list(_headings(lines))):
        is_title = position == 0 and not _names_group(rest) and len(marks) + by <= 2
        level = 1 if is_title else min(max(len(marks) + by, 2), _DEEPEST)
        lines[at] = Line(lines[at].number, f"{'#' * level}{rest}")
    return lines


def _unbolded(lines: list[Line]) -> list[Line]:
    """Read bold lines that stand alone as headings, if one of them names a section."""
    bold = {}
    for at, line in enumerate(lines):
        alone = all(near.blank for near in [*lines[max(at - 1, 0) : at], *lines[at + 1 : at + 2]])
        if alone and not line.fenced and (match := _BOLD.match(line.text)):
            bold[at] = (match[1] or match[2]).strip()
    sections = {at: text for at, text in bold.items() if known_slot(text)}
    if not any(_names_group(text) for text in sections.values()):
        return lines
    for at, text in sections.items():
        lines[at] = Line(lines[at].number, heading(2, text))
    first = next((at for at, line in enumerate(lines) if not line.blank), 0)
    if (
        first in bold
        and first not in sections
        and not any(HEADING.match(line.text) for line in lines[:first])
    ):
        lines[first] = Line(lines[first].number, heading(1, bold[first]))
    return lines
