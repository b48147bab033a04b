"""Reads a report's Markdown into a document; what does not fit the layout is kept and listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from incidents.reports import layout, sections
from incidents.reports.levels import levelled
from incidents.reports.model import Document, Extra, Issue, IssueCode, Parsed
from incidents.reports.renderer import breaks_extra
from incidents.reports.scan import HEADING, RULE, Line, close_fence, lines_of, trim, underlined, unescape

#: Characters of a line quoted in an issue.
EXCERPT = 80


@dataclass(slots=True)
class Part:
    """A heading and the lines up to the next one that counts. ``slot`` None: an unknown section."""

    slot: str | None
    heading: str
    level: int
    line: int
    after: str = "title"
    lines: list[Line] = field(default_factory=list)


def parse(text: str) -> Parsed:
    """Return the document of ``text`` and every finding, by line. It raises nothing."""
    lines, open_fence = lines_of(text.removeprefix("\ufeff"))
    issues: list[Issue] = []
    if open_fence is not None:
        issues.append(Issue(open_fence, IssueCode.OPEN_FENCE))
    parts = _split(levelled(underlined(lines)), issues)
    language = _language(parts)
    reader = sections.Reader(language)
    extras: list[Extra] = []
    for part in parts:
        if part.slot is None:
            body = close_fence(unescape(part.lines, breaks_extra(part.level)))
            extras.append(Extra(heading=part.heading, level=part.level, body=body, after=part.after))
            issues.append(Issue(part.line, IssueCode.KEPT_SECTION, part.heading[:EXCERPT]))
        else:
            reader.read(part.slot, part.heading, part.lines, part.line)
    for slot, loose in reader.loose.items():
        body = close_fence("\n\n".join(unescape(trim(chunk), breaks_extra(0)) for chunk in loose))
        if body:
            extras.append(Extra(heading="", level=0, body=body, after=slot))
    issues += reader.issues
    document = replace(reader.document(), extras=tuple(sorted(extras, key=_place)))
    if document == Document(language=language):
        issues.append(Issue(1, IssueCode.NOTHING))
    return Parsed(document, tuple(sorted(set(issues), key=lambda issue: (issue.line, issue.code))))


def _place(extra: Extra) -> tuple[int, int, int]:
    """Order of printing: loose text, subsections, then sections after the group."""
    group = layout.SLOTS.get(extra.after, "title")
    outer = 1 <= extra.level <= 2
    shown_after = group if outer else extra.after
    return (
        layout.GROUPS.index(group) if group in layout.GROUPS else -1,
        int(outer),
        layout.ORDER[shown_after] * 2 + (extra.level > 0),
    )


def _split(lines: list[Line], issues: list[Issue]) -> list[Part]:
    parts = [Part("title", "", 1, 1)]
    seen: set[str] = set()
    titled = False
    slot = "title"
    for line in lines:
        match = None if line.fenced else HEADING.match(line.text)
        if match is None:
            parts[-1].lines.append(line)
            continue
        level, heading = len(match[1]), match[2].strip()
        if level == 1 and not titled:
            titled = True
            parts.append(Part("title", heading, 1, line.number))
            continue
        found = _recognise(heading, level, parts[-1], slot)
        if found is None and _belongs(parts[-1], level, heading):
            parts[-1].lines.append(line)
            continue
        if level <= 2:
            _drop_rule(parts[-1])
        if found in seen and found not in ("problem", "proxy"):
            issues.append(Issue(line.number, IssueCode.REPEATED_SECTION, heading[:EXCERPT]))
            slot, found = found, None
        if found is None:
            after = layout.SLOTS[slot] if level <= 2 else slot
            parts.append(Part(None, heading, level, line.number, after))
        else:
            seen.add(found)
            slot = "problems" if found == "problem" else found
            parts.append(Part(found, heading, level, line.number))
    kept = [part for part in parts if not _is_generated(part, issues)]
    if not titled:
        issues.append(Issue(1, IssueCode.NO_TITLE))
    return kept


def _recognise(heading: str, level: int, current: Part, slot: str) -> str | None:
    """Return the slot that a heading opens, ``problem`` for a numbered problem, None for neither."""
    if level > 1 and (known := layout.known_slot(heading)):
        return known
    if level != 3 or (current.slot is None and current.level < 3):
        return None
    group = layout.SLOTS[slot]
    if group == "fixes" and layout.names_proxy(heading):
        return "proxy"
    return "problem" if group == "problems" else None


def _belongs(current: Part, level: int, heading: str) -> bool:
    """Whether an unknown heading is text of the unknown section before it."""
    return current.slot is None and level > current.level and layout.known_slot(heading) is None


def _drop_rule(part: Part) -> None:
    """Forget the one thematic break that separates a section from the next."""
    kept = trim(part.lines)
    if kept and not kept[-1].fenced and RULE.match(kept[-1].text):
        part.lines = kept[:-1]


def _is_generated(part: Part, issues: list[Issue]) -> bool:
    kept = trim(part.lines)
    if part.slot is None and kept and kept[0].text.strip() == layout.GENERATED:
        issues.append(Issue(part.line, IssueCode.GENERATED, part.heading[:EXCERPT]))
        return True
    return False


def _language(parts: Iterable[Part]) -> str:
    """Korean if any recognised heading, or failing that any text, is written in Hangul."""
    listed = list(parts)
    headings = "".join(part.heading for part in listed if part.slot not in (None, "title", "problem"))
    text = headings or "".join(line.text for part in listed for line in [*part.lines[:50]]) + "".join(
        part.heading for part in listed
    )
    if not text.strip():
        return "ko"
    return "ko" if any("가" <= char <= "힣" for char in text) else "en"
