"""Lines of Markdown: fences, tables and lists, enough of each to find the rows of a report.

A heading starts in the first column. A fence may stand anywhere, also behind a list marker; one that is
never closed runs to the end.

The patterns are possessive where white space meets white space: a report may be one line of 2 MiB, and a
pattern that looks again from each of its blanks would take hours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HEADING = re.compile(r"^(#{1,3})[ \t]+((?:[^ \t]++|[ \t]++(?!#*+[ \t]*+$))*+)(?:[ \t]++#++)?[ \t]*+$")
ANY_HEADING = re.compile(r"^#{1,6}(?:[ \t]|$)")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
_ESCAPED = re.compile(r"^\\(#{1,3}(?:[ \t].*)?)$")
_MARKER = r"(?:[-*+]|\d{1,9}[.)])"
_FENCE = re.compile(rf"^\s*(?:{_MARKER}\s+(?:\[[ xX]\]\s+)?)*(`{{3,}}(?=[^`]*$)|~{{3,}})(.*)$")
ITEM = re.compile(rf"^ ?({_MARKER})[ \t]+(\S.*)$")
BOX = re.compile(r"^\[([ xX])\](?:[ \t]+(.*))?$")
RULE = re.compile(r"^\s*(?:-{3,}|\*{3,}|_{3,})\s*$")
_UNDERLINE = re.compile(r"^ {0,3}(={2,}|-{2,})[ \t]*$")
_BREAKS = re.compile(r"(?<!\s)\s*+(?:<br ?/?>\s*+)+")
_NEWLINES = re.compile(r"(?<!\s)\s*\n\s*")
_DELIMITER = re.compile(r"^\s*+(?:\|\s*+)?:?-++:?\s*+(?:\|\s*+:?-++:?\s*+)*+(?:\|\s*+)?$")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, its text, whether it belongs to a fence (borders included) or opens it."""

    number: int
    text: str
    fenced: bool = False
    opens: bool = False

    @property
    def blank(self) -> bool:
        """Nothing but white space, outside a fence."""
        return not self.fenced and not self.text.strip()


def lines_of(text: str) -> tuple[list[Line], int | None]:
    """Split ``text`` and mark fences; the second value is the line of a fence that never closes."""
    found: list[Line] = []
    fence, opened = "", None
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if fence:
            found.append(Line(number, line, True))
            tail = line.strip()
            if len(tail) >= len(fence) and not tail.strip(fence[0]):
                fence, opened = "", None
        elif match := _FENCE.match(line):
            fence, opened = match[1], number
            found.append(Line(number, line, True, True))
        else:
            found.append(Line(number, line))
    return found, opened


def heading(level: int, text: str) -> str:
    """Return a heading that is read as ``text``, closed where the text ends as a closed one does."""
    return f"{'#' * level} {text}{' #' if _CLOSING.search(text) else ''}"


def underlined(lines: Sequence[Line]) -> list[Line]:
    """Return ``lines`` with underlined headings as ``#`` ones, if the first of them is underlined.

    Only a text that begins so is read this way: elsewhere a line over ``---`` is a line over a rule.
    """
    start = next((at for at, line in enumerate(lines) if not line.blank), len(lines))
    if not (start + 1 < len(lines) and _level(lines, start) == 1):
        return list(lines)
    found = list(lines)
    for at in range(start, len(lines) - 1):
        if level := _level(lines, at):
            found[at] = Line(lines[at].number, heading(level, lines[at].text.strip()))
            found[at + 1] = Line(lines[at + 1].number, "")
    return found


def _level(lines: Sequence[Line], at: int) -> int:
    line, below = lines[at], lines[at + 1]
    alone = at == 0 or lines[at - 1].blank
    if line.fenced or below.fenced or line.blank or not alone or not line.text[:1].strip():
        return 0
    if line.text.lstrip()[:1] in "#>|" or ITEM.match(line.text):
        return 0
    match = _UNDERLINE.match(below.text)
    return 0 if match is None else 1 if match[1][0] == "=" else 2


def close_fence(text: str) -> str:
    """Return ``text`` without outer blank lines, its last fence closed."""
    lines, opened = lines_of(text.strip("\r\n"))
    texts = [line.text.rstrip() if not line.fenced else line.text for line in lines]
    while texts and not texts[0].strip():
        texts.pop(0)
    while texts and not texts[-1].strip():
        texts.pop()
    if opened is not None:
        match = _FENCE.match(lines[opened - 1].text)
        texts.append(match[1] if match else "```")
    return "\n".join(texts)


def escape(text: str, breaks: Callable[[str], bool]) -> str:
    """Put a backslash before each heading outside fences for which ``breaks`` is true."""
    lines, _opened = lines_of(text)
    return "\n".join(
        f"\\{line.text}" if not line.fenced and _heading(line.text) and breaks(line.text) else line.text
        for line in lines
    )


def unescape(lines: Iterable[Line], breaks: Callable[[str], bool]) -> str:
    """Join ``lines``, undoing :func:`escape`."""
    texts = []
    for line in lines:
        match = None if line.fenced else _ESCAPED.match(line.text)
        texts.append(match[1] if match and breaks(match[1]) else line.text)
    return "\n".join(texts)


def _heading(text: str) -> bool:
    return HEADING.match(text) is not None


def trim(lines: Sequence[Line]) -> list[Line]:
    """Return ``lines`` without blank ones at both ends."""
    start, end = 0, len(lines)
    while start < end and lines[start].blank:
        start += 1
    while end > start and lines[end - 1].blank:
        end -= 1
    return list(lines[start:end])


def chunks(lines: Sequence[Line]) -> list[list[Line]]:
    """Split at blank lines outside fences."""
    found: list[list[Line]] = [[]]
    for line in lines:
        if line.blank:
            found.append([])
        else:
            found[-1].append(line)
    return [chunk for chunk in found if chunk]


def cells_of(line: str) -> tuple[str, ...]:
    r"""Split a table row; ``\|`` is a bar of the text and ``<br>`` a new line."""
    body = line.strip().removeprefix("|")
    if body.endswith("|") and not body.endswith("\\|"):
        body = body[:-1]
    parts = re.split(r"(?<!\\)\|", body)
    return tuple(_BREAKS.sub("\n", part.replace("\\|", "|")).strip() for part in parts)


def row_of(cells: Iterable[str]) -> str:
    """Print a table row; the reverse of :func:`cells_of`."""
    texts = (_NEWLINES.sub("<br>", cell.strip().replace("\r", "\n")).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(texts) + " |"


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table: the cells of its header and of each row, with the rows' lines."""

    header: tuple[str, ...]
    rows: tuple[tuple[Line, tuple[str, ...]], ...]
    end: int


def table_at(lines: Sequence[Line], start: int) -> TableBlock | None:
    """Return the table whose header is ``lines[start]``; ``end`` is the index after it."""
    if start + 1 >= len(lines) or lines[start].fenced or lines[start + 1].fenced:
        return None
    head, rule = lines[start].text, lines[start + 1].text
    if "|" not in head or "|" not in rule or not _DELIMITER.match(rule):
        return None
    header = cells_of(head)
    if len(header) != len(cells_of(rule)):
        return None
    end = start + 2
    while end < len(lines) and not lines[end].fenced and "|" in lines[end].text:
        end += 1
    rows = tuple((line, cells_of(line.text)) for line in lines[start + 2 : end])
    return TableBlock(header, rows, end)


def take_items(lines: Sequence[Line]) -> tuple[list[tuple[Line, str]], list[Line]]:
    """Separate top-level list items from other lines (kept with a blank line where items stood).

    An item ends at a blank line, at the next item, or at a fence in the first column.
    """
    items: list[tuple[Line, str]] = []
    rest: list[Line] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        match = ITEM.match(line.text)
        if not match or (line.fenced and not line.opens):
            rest.append(line)
            index += 1
            continue
        width = len(match[1]) + 1
        texts = [match[2].rstrip()]
        index += 1
        while index < len(lines) and _continues(lines, index):
            texts.append(_dedent(lines[index].text, width).rstrip())
            index += 1
        items.append((line, "\n".join(texts)))
        rest.append(Line(line.number, ""))
    return items, trim(rest)


def _continues(lines: Sequence[Line], index: int) -> bool:
    line = lines[index]
    if line.fenced:
        return not line.opens or line.text[:1] in (" ", "\t")
    return not line.blank and not ITEM.match(line.text) and not ANY_HEADING.match(line.text)


def _dedent(text: str, width: int) -> str:
    indent = len(text) - len(text.lstrip(" \t"))
    return text[min(indent, width) :]


def item_of(marker: str, text: str) -> str:
    """Print a list item, the lines after its first indented under ``marker``; the reverse of take_items."""
    kept = [line.text.rstrip() for line in lines_of(close_fence(text.strip()))[0] if not line.blank]
    indent = " " * len(marker.split("[")[0])
    return (
        "\n".join([f"{marker}{kept[0].strip()}", *(f"{indent}{line}".rstrip() for line in kept[1:])])
        if kept
        else ""
    )
