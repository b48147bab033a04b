"""Prints a document as Markdown in the layout of the seed report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from incidents.reports.layout import (
    ACCESS_TITLE,
    ANALYSED,
    GENERATED,
    GROUPS,
    HEADINGS,
    KST,
    NO_DATA,
    ORDER,
    PROXY_TITLE,
    SLOTS,
    SUFFIX,
    TABLES,
    UNTITLED,
    known_slot,
    numbered,
)
from incidents.reports.model import Document, Extra, Problem
from incidents.reports.scan import HEADING, close_fence, escape, heading, item_of, row_of


def render(document: Document, kind: str = "summary", generated: Sequence[Extra] = ()) -> str:
    """Return the Markdown of ``document``; ``generated`` sections follow the current state."""
    return _Printer(document, kind, generated).text()


def breaks_rows(line: str) -> bool:
    """Whether a heading line inside a row's text would begin a section."""
    return HEADING.match(line) is not None


def breaks_extra(level: int) -> Callable[[str], bool]:
    """Return the test for text under an unknown section of ``level`` (0: loose text)."""

    def breaks(line: str) -> bool:
        match = HEADING.match(line)
        if match is None:
            return False
        return not level or len(match[1]) <= level or known_slot(match[2]) is not None

    return breaks


class _Printer:
    def __init__(self, document: Document, kind: str, generated: Sequence[Extra]) -> None:
        self.document = document
        self.language = document.language
        self.kind = kind
        self.generated = generated
        self.headings = {**HEADINGS[self.language], **dict(document.headings)}

    def text(self) -> str:
        """Return the whole report."""
        title = _one_line(self.document.title) or UNTITLED[self.language]
        head = [f"# {title} - {SUFFIX[self.kind][self.language]}"]
        if self.document.analysed_at:
            at = self.document.analysed_at.astimezone(KST)
            shown = at.strftime("%Y-%m-%d %H:%M:%S" if at.second else "%Y-%m-%d %H:%M")
            head.append(f"**{ANALYSED[self.language]}:** {shown} (KST)")
        head += self._loose("title") + self._subsections("title")
        sections = ["\n\n".join(head), *self._outer("title")]
        for group in GROUPS:
            sections += self._group(group)
            if group == "status":
                sections += [_generated(extra) for extra in self.generated]
        return "\n\n---\n\n".join(sections) + "\n"

    def _group(self, group: str) -> list[str]:
        intro = self._rows(group) + self._loose(group) + self._subsections(group)
        body = self._problems() if group == "problems" else self._members(group)
        parts = intro + body
        if group in self.document.empty and not parts:
            parts = [NO_DATA[self.language]]
        section = ["\n\n".join([heading(2, self.headings[group]), *parts])] if parts else []
        return section + self._outer(group)

    def _members(self, group: str) -> list[str]:
        parts: list[str] = []
        number = 0
        for slot in (slot for slot, owner in SLOTS.items() if owner == group and slot != group):
            rows = self._rows(slot) + self._loose(slot)
            if not rows and slot in self.document.empty:
                rows = [NO_DATA[self.language]]
            if rows and slot != "proxy":
                number += 1
                prefix = f"{number}. " if group == "causes" else ""
                rows = [heading(3, f"{prefix}{self.headings[slot]}"), *rows]
            elif rows and not rows[0].startswith("### "):
                rows = [f"### {PROXY_TITLE[self.language]}", *rows]
            parts += rows + self._subsections(slot)
        return parts

    def _problems(self) -> list[str]:
        problems = list(self.document.problems)
        if self.document.access and not any(problem.kind == "access" for problem in problems):
            problems.append(Problem(title="", kind="access"))
        parts: list[str] = []
        for number, problem in enumerate(problems, 1):
            access = problem.kind == "access"
            title = _one_line(problem.title)
            if access and (not title or title in ACCESS_TITLE.values()):
                title = ACCESS_TITLE[self.language]
            parts.append(heading(3, numbered(number, title or UNTITLED[self.language])))
            body = _body(problem.body, breaks_rows)
            rows = self.document.access if access else ()
            content = self._table("access", ((row.path, row.result) for row in rows))
            content += [body] if body else []
            parts += content or [NO_DATA[self.language]]
        loose = self._loose("access")
        return parts + loose + self._subsections("access")

    def _rows(self, slot: str) -> list[str]:
        document = self.document
        match slot:
            case "root_cause":
                line = _one_line(document.root_cause)
                return [f"**{line}**"] if line else []
            case "status":
                return self._table(slot, ((r.service, r.state, r.cpu, r.memory) for r in document.status))
            case "direct" | "secondary":
                return _list("- ", (row.text for row in document.causes if row.kind == slot))
            case "code":
                rows = ((r.problem, r.current, r.right) for r in document.code_problems)
                return self._table(slot, rows)
            case "emergency":
                return self._commands()
            case "code_fixes":
                return self._table(slot, ((r.file, r.change, r.priority) for r in document.fixes))
            case "proxy":
                return self._proxies()
            case "long_term":
                return _list("", (row.text for row in document.long_term))
            case "files":
                return _list("- ", (_file(row.label, row.path, row.note) for row in document.files))
            case "checklist":
                items = [item_of(f"- [{'x' if i.ticked else ' '}] ", i.text) for i in document.checklist]
                return ["\n".join(item for item in items if item)] if any(items) else []
            case _:
                return []

    def _table(self, slot: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
        lines = [row_of(row) for row in rows if any(cell.strip() for cell in row)]
        if not lines:
            return []
        table = TABLES[slot]
        return ["\n".join([row_of(table.header[self.language]), table.rule[self.language], *lines])]

    def _commands(self) -> list[str]:
        blocks: list[str] = []
        for row in self.document.commands:
            comment = [line.strip() for line in row.comment.splitlines() if line.strip()]
            # Not splitlines: what else that takes for the end of a line is a character of the command here.
            command = "\n".join(line.rstrip() for line in re.split(r"\r\n|\r|\n", row.command.strip("\r\n")))
            if not comment and not command.strip():
                continue
            number = len(blocks) + 1
            lines = [f"# {line}" for line in (numbered(number, comment[0]), *comment[1:])] if comment else []
            blocks.append("\n".join([*lines, *([command] if command.strip() else [])]))
        if not blocks:
            return []
        text = "\n\n".join(blocks)
        longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
        fence = "`" * max(3, longest + 1)
        return [f"{fence}bash\n{text}\n{fence}"]

    def _proxies(self) -> list[str]:
        parts = []
        for row in self.document.proxies:
            body = _body(row.body, breaks_rows)
            if body or _one_line(row.title):
                parts.append(heading(3, _one_line(row.title) or PROXY_TITLE[self.language]))
                parts.append(body or NO_DATA[self.language])
        return parts

    def _extras(self, slot: str, levels: Callable[[int], bool]) -> list[Extra]:
        return [extra for extra in self.document.extras if extra.after == slot and levels(extra.level)]

    def _loose(self, slot: str) -> list[str]:
        bodies = (
            _body(extra.body, breaks_extra(0)) for extra in self._extras(slot, lambda level: level == 0)
        )
        return [body for body in bodies if body]

    def _subsections(self, slot: str) -> list[str]:
        return [_extra(extra) for extra in self._extras(slot, lambda level: level >= 3)]

    def _outer(self, group: str) -> list[str]:
        return [
            _extra(extra)
            for slot in sorted((s for s, owner in SLOTS.items() if owner == group), key=ORDER.__getitem__)
            for extra in self._extras(slot, lambda level: 1 <= level <= 2)
        ]


def _extra(extra: Extra) -> str:
    level = min(extra.level, 3)
    first = heading(level, _one_line(extra.heading) or "-")
    body = _body(extra.body, breaks_extra(level))
    return f"{first}\n\n{body}" if body else first


def _generated(extra: Extra) -> str:
    return f"{heading(2, extra.heading)}\n\n{GENERATED}\n\n{_body(extra.body, breaks_extra(2))}"


def _body(text: str, breaks: Callable[[str], bool]) -> str:
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return escape(close_fence(normal), breaks)


def _list(marker: str, texts: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for text in texts:
        if item := item_of(marker or f"{len(lines) + 1}. ", text):
            lines.append(item)
    return ["\n".join(lines)] if lines else []


def _file(label: str, path: str, note: str) -> str:
    if not label.strip():
        return path
    tail = f" ({_one_line(note)})" if note.strip() else ""
    return f"**{_one_line(label)}:** `{_one_line(path)}`{tail}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
