"""Reads the lines of one section into typed rows; leftover lines stay as loose text of its slot."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from incidents.reports import layout
from incidents.reports.model import (
    PRIORITIES,
    Access,
    Cause,
    CodeProblem,
    Command,
    Document,
    File,
    Fix,
    Issue,
    IssueCode,
    Item,
    LongTerm,
    Problem,
    Proxy,
    Status,
)
from incidents.reports.renderer import breaks_rows
from incidents.reports.scan import (
    ANY_HEADING,
    BOX,
    ITEM,
    Line,
    chunks,
    close_fence,
    table_at,
    take_items,
    trim,
    unescape,
)

_SUFFIXES = "|".join(re.escape(text) for kind in layout.SUFFIX.values() for text in kind.values())
_TITLE = re.compile(rf"^(.*?) ?[-–—－:：] (?:{_SUFFIXES})$", re.IGNORECASE)
_TIME_LABEL = re.compile(
    r"^\**\s*(?:분석\s*일시|작성\s*일시|analysed|analyzed)(?:\s+at)?\s*[:：]?\s*\**\s*[:：]?\s*(.*)$",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"^(\d{4})\s*[-./년]\s*(\d{1,2})\s*[-./월]\s*(\d{1,2})일?"
    r"(?:[T\s]+(\d{1,2})(?::|시\s*)(\d{2})분?(?::(\d{2}))?)?\s*\(?(KST|UTC|Z|\+09:?00)?\)?$"
)
_FILE = re.compile(r"^\*\*([^*\n]+?):\*\*\s*`([^`\n]+)`(?:\s*\(([^()\n]+)\))?$")
_SHELLS = frozenset({"", "bash", "sh", "shell", "console", "zsh"})
_COMMENT = re.compile(r"^#+\s*(.*)$")
_QUICK = {"긴급": "P0", "높음": "P1", "중간": "P2", "낮음": "P3", "high": "P1", "medium": "P2", "low": "P3"}


class Reader:
    """Collects the rows of each section as its lines are read."""

    def __init__(self, language: str) -> None:
        self.issues: list[Issue] = []
        self.loose: dict[str, list[list[Line]]] = defaultdict(list)
        self._document = Document(language=language)
        self._present: set[str] = set()
        self._empty: set[str] = set()
        self._headings: dict[str, str] = {}

    def document(self) -> Document:
        """Return what was read so far."""
        held = {layout.SLOTS[slot] for slot in self._present}
        empty = {slot for slot in self._empty if slot not in held}
        ordered = sorted(empty, key=layout.ORDER.__getitem__)
        headings = sorted(self._headings.items(), key=lambda pair: layout.ORDER[pair[0]])
        return replace(self._document, empty=tuple(ordered), headings=tuple(headings))

    def read(self, slot: str, heading: str, lines: list[Line], number: int) -> None:
        """Read one section. ``slot`` ``problem`` is a numbered problem under "problem details"."""
        if slot == "title":
            self._title(heading, lines)
            return
        if slot in ("problem", "access", "proxy"):
            self._present.add("problems" if slot == "problem" else slot)
            self._bodied(slot, layout.unnumbered(heading) if slot != "proxy" else heading, lines)
            return
        wording = heading if layout.SLOTS[slot] == slot else layout.unnumbered(heading)
        if not layout.is_canonical(slot, wording):
            self._headings[slot] = wording
        kept = trim(lines)
        if not kept or _is_no_data(kept):
            self._empty.add(slot)
            return
        before = self._document
        rest = self._typed(slot, kept)
        (self._present if trim(rest) or self._document is not before else self._empty).add(slot)
        self._leave(slot, rest)

    def _typed(self, slot: str, lines: list[Line]) -> list[Line]:
        readers: dict[str, Callable[[list[Line]], list[Line]]] = {
            "root_cause": self._root_cause,
            "status": self._status,
            "direct": self._causes("direct"),
            "secondary": self._causes("secondary"),
            "code": self._code,
            "emergency": self._commands,
            "code_fixes": self._fixes,
            "long_term": self._long_term,
            "files": self._files,
            "checklist": self._checklist,
        }
        return readers[slot](lines) if slot in readers else lines

    def _leave(self, slot: str, lines: Sequence[Line]) -> None:
        rest = trim(lines)
        if rest:
            self.loose[slot].append(rest)
            self._say(rest[0], IssueCode.KEPT_TEXT)

    def _say(self, line: Line, code: IssueCode) -> None:
        self.issues.append(Issue(line.number, code, line.text.strip()[:80]))

    def _add(self, **rows: tuple[object, ...]) -> None:
        if not any(rows.values()):
            return
        joined: dict[str, Any] = {name: (*getattr(self._document, name), *rows[name]) for name in rows}
        self._document = replace(self._document, **joined)

    def _title(self, heading: str, lines: list[Line]) -> None:
        if heading:
            words = " ".join(heading.split())
            match = _TITLE.match(words)
            self._document = replace(self._document, title=match[1] if match else words)
        rest = []
        for line in lines:
            label = None if line.fenced else _TIME_LABEL.match(line.text)
            if label and self._document.analysed_at is None:
                at = read_time(label[1].strip().strip("*").strip())
                if at is not None:
                    self._document = replace(self._document, analysed_at=at)
                    rest.append(Line(line.number, ""))
                    continue
                self._say(line, IssueCode.BAD_TIME)
            rest.append(line)
        self._leave("title", rest)

    def _bodied(self, slot: str, heading: str, lines: list[Line]) -> None:
        title = " ".join(heading.split())
        if slot == "access":
            lines = self._table(
                "access", lines, lambda cells: self._add(access=(Access(path=cells[0], result=cells[1]),))
            )
        body = "" if _is_no_data(trim(lines)) else close_fence(unescape(trim(lines), breaks_rows))
        if slot == "proxy":
            if not body and title in layout.PROXY_TITLE.values():
                self._present.discard("proxy")
                self._empty.add("proxy")
                return
            own = "" if title in layout.PROXY_TITLE.values() else title
            self._add(proxies=(Proxy(title=own, body=body),))
        else:
            kind = "access" if slot == "access" else "text"
            self._add(problems=(Problem(title=title, body=body, kind=kind),))

    def _table(self, slot: str, lines: list[Line], add: Callable[[tuple[str, ...]], None]) -> list[Line]:
        """Take every table that fits ``slot``; return the other lines."""
        rest: list[Line] = []
        index = 0
        while index < len(lines):
            table = table_at(lines, index)
            columns = layout.TABLES[slot].columns(table.header) if table else None
            fits = table and columns and all(len(cells) <= len(columns) for _line, cells in table.rows)
            if table and not fits:
                self._say(lines[index], IssueCode.KEPT_TABLE)
            if not table or not columns or not fits:
                end = table.end if table else index + 1
                rest += lines[index:end]
                index = end
                continue
            if not layout.own_columns(slot, table.header):
                self._say(lines[index], IssueCode.RENAMED_COLUMNS)
            for _line, cells in table.rows:
                padded = (*cells, *([""] * (len(columns) - len(cells))))
                if any(padded):
                    add(tuple(padded[place] for place in columns))
            rest.append(Line(lines[index].number, ""))
            index = table.end
        return rest

    def _root_cause(self, lines: list[Line]) -> list[Line]:
        rest: list[Line] = []
        for chunk in chunks(lines):
            if self._document.root_cause or not _is_paragraph(chunk):
                rest += [*chunk, Line(chunk[-1].number, "")]
                continue
            text = " ".join(" ".join(line.text for line in chunk).split())
            bold = len(text) > 4 and text.startswith("**") and text.endswith("**")
            self._document = replace(self._document, root_cause=text[2:-2].strip() if bold else text)
        return rest

    def _status(self, lines: list[Line]) -> list[Line]:
        return self._table(
            "status",
            lines,
            lambda c: self._add(status=(Status(service=c[0], state=c[1], cpu=c[2], memory=c[3]),)),
        )

    def _causes(self, kind: str) -> Callable[[list[Line]], list[Line]]:
        def read(lines: list[Line]) -> list[Line]:
            items, rest = take_items(lines)
            self._add(causes=tuple(Cause(kind=kind, text=text) for _line, text in items))
            return rest

        return read

    def _code(self, lines: list[Line]) -> list[Line]:
        return self._table(
            "code",
            lines,
            lambda c: self._add(code_problems=(CodeProblem(problem=c[0], current=c[1], right=c[2]),)),
        )

    def _fixes(self, lines: list[Line]) -> list[Line]:
        def add(cells: tuple[str, ...]) -> None:
            file, change, raw = cells
            priority = raw.strip("*` ").upper()
            if priority not in PRIORITIES:
                priority = _QUICK.get(raw.strip("*` ").lower(), "P1")
                change = f"{change} ({raw})" if raw else change
                self.issues.append(Issue(lines[0].number, IssueCode.UNKNOWN_PRIORITY, raw[:80]))
            self._add(fixes=(Fix(file=file, change=change, priority=priority),))

        return self._table("code_fixes", lines, add)

    def _long_term(self, lines: list[Line]) -> list[Line]:
        items, rest = take_items(lines)
        self._add(long_term=tuple(LongTerm(text=text) for _line, text in items))
        return rest

    def _files(self, lines: list[Line]) -> list[Line]:
        items, rest = take_items(lines)
        for _line, text in items:
            match = _FILE.match(text)
            parts = [part.strip() for part in match.groups("")] if match else []
            whole = bool(parts) and all(parts[:2])
            row = File(label=parts[0], path=parts[1], note=parts[2]) if whole else File(path=text)
            self._add(files=(row,))
        return rest

    def _checklist(self, lines: list[Line]) -> list[Line]:
        items, rest = take_items(lines)
        for line, text in items:
            first, *more = text.split("\n")
            box = BOX.match(first)
            body = "\n".join([box[2] or "", *more]).strip() if box else text
            if body:
                self._add(checklist=(Item(text=body, ticked=box is not None and box[1] in "xX"),))
            else:
                rest.append(line)
        return rest

    def _commands(self, lines: list[Line]) -> list[Line]:
        rest: list[Line] = []
        block: list[Line] = []
        for index, line in enumerate([*lines, Line(0, "")]):
            if block and (not line.fenced or line.opens):
                if block[0].text.lstrip("`~").strip().lower() in _SHELLS and block[0].text[:1] in "`~":
                    self._add(commands=tuple(read_commands([item.text for item in block[1:]])))
                    rest.append(Line(block[0].number, ""))
                else:
                    rest += block
                block = []
            if line.fenced:
                block.append(line)
            elif index < len(lines):
                rest.append(line)
        return rest


def read_commands(texts: list[str]) -> list[Command]:
    """Return the commands of a shell block (its last line may be the closing fence)."""
    if texts and len(texts[-1].strip()) >= 3 and not texts[-1].strip().strip("`~"):
        texts = texts[:-1]
    found: list[Command] = []
    comment: list[str] = []
    command: list[str] = []

    def flush() -> None:
        if comment or command:
            words = [layout.unnumbered(comment[0]), *comment[1:]] if comment else []
            found.append(Command(comment="\n".join(words), command="\n".join(command)))
        comment.clear()
        command.clear()

    for text in texts:
        match = _COMMENT.match(text)
        if not text.strip():
            flush()
        elif match:
            if command:
                flush()
            if match[1].strip():
                comment.append(match[1].strip())
        else:
            command.append(text.rstrip())
    flush()
    return found


def read_time(text: str) -> datetime | None:
    """Read ``2026-02-06 09:15 (KST)`` and its usual variants; no zone means KST. None: not a time."""
    match = _TIME.match(unicodedata.normalize("NFKC", text))
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=layout.KST)
    except ValueError:
        return None
    # Near both ends of the calendar another zone has no such time.
    if not 1970 <= year < 9999:
        return None
    if match[7] in ("UTC", "Z"):
        return (at + layout.KST.utcoffset(None)).astimezone(layout.KST)
    return at


def _is_no_data(lines: Sequence[Line]) -> bool:
    return len(lines) == 1 and lines[0].text.strip() in layout.NO_DATA.values()


def _is_paragraph(chunk: Sequence[Line]) -> bool:
    return not any(
        line.fenced
        or line.text.startswith((">", "    ", "\t", "|", "<"))
        or ITEM.match(line.text)
        or ANY_HEADING.match(line.text)
        for line in chunk
    )
