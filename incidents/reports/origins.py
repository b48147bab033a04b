"""Where each cell of a report comes from, put into its HTML as a tag that words say, not colour alone.

Cells get a mark of private-use characters before the Markdown is rendered and a tag in its place after the
HTML was cleaned, so the layout is printed by one renderer only. Knows no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from incidents.reports.layout import ACCESS_TITLE, PROXY_TITLE
from incidents.reports.model import INFERRED, MEASURED, PERSON, Document, Extra, Row
from incidents.reports.words import Words

_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([mip])(\\d*){_CLOSE}")
#: A tag of cleaned HTML, whose attributes are always in double quotes, or a mark.
_TAG_OR_MARK = re.compile(rf"<[^<>\"]*(?:\"[^\"]*\"[^<>\"]*)*>|{_MARK.pattern}")
_LETTERS = {MEASURED: "m", INFERRED: "i", PERSON: "p"}
_BY_LETTER = {letter: name for name, letter in _LETTERS.items()}

#: Columns that get a mark. Commands are left as they are, since people copy them; what is true of a
#: checklist item is its state, on its own page.
MARKED: Mapping[str, tuple[str, ...]] = {
    "status": ("service", "state", "cpu", "memory"),
    "access": ("path", "result"),
    "causes": ("text",),
    "code_problems": ("problem", "current", "right"),
    "fixes": ("file", "change"),
    "long_term": ("text",),
}
#: Columns that a measured row concludes from its measurement.
CONCLUDED = frozenset({("status", "state"), ("code_problems", "problem"), ("code_problems", "right")})


@dataclass(frozen=True, slots=True)
class Source:
    """One piece of evidence as a tag names it. ``href`` is empty where there is nothing to link to."""

    label: str
    title: str
    href: str = ""


def origin(section: str, column: str, row: Row) -> str:
    """Return the provenance of one cell."""
    if row.provenance == MEASURED and (section, column) in CONCLUDED:
        return INFERRED
    return row.provenance


def mark(document: Document) -> Document:
    """Return ``document`` with a mark behind each cell; texts lose whatever looks like one already."""
    changes: dict[str, Any] = {}
    for section, columns in MARKED.items():
        changes[section] = tuple(_marked(section, columns, row) for row in getattr(document, section))
    problems = []
    for one in document.problems:
        title = one.title
        if one.kind == "access" and not title:
            title = ACCESS_TITLE[document.language]
        body = _bare(one.body)
        if one.kind == "access" and body and one.provenance == MEASURED:
            body += f" {_mark(INFERRED, one.evidence)}"
        problems.append(
            replace(one, title=f"{_bare(title)} {_mark(one.provenance, one.evidence)}", body=body)
        )
    proxies = tuple(
        replace(
            one,
            title=" ".join(
                (
                    _bare(one.title) or PROXY_TITLE[document.language],
                    _mark(one.provenance, one.evidence),
                )
            ),
            body=_bare(one.body),
        )
        for one in document.proxies
    )
    root = document.root_cause_row
    line = _bare(document.root_cause)
    return replace(
        document,
        root_cause=f"{line} {_mark(root.provenance, root.evidence)}" if line else "",
        problems=tuple(problems),
        proxies=proxies,
        extras=bare_extras(document.extras),
        commands=tuple(
            replace(one, comment=_bare(one.comment), command=_bare(one.command)) for one in document.commands
        ),
        files=tuple(
            replace(one, label=_bare(one.label), path=_bare(one.path), note=_bare(one.note))
            for one in document.files
        ),
        checklist=tuple(replace(one, text=_bare(one.text)) for one in document.checklist),
        title=_bare(document.title),
        **changes,
    )


def bare_extras(extras: Sequence[Extra]) -> tuple[Extra, ...]:
    """Return extra sections without anything that looks like a mark."""
    return tuple(replace(one, heading=_bare(one.heading), body=_bare(one.body)) for one in extras)


def unmark(html: str, words: Words, sources: Mapping[int, Source]) -> str:
    """Return clean ``html`` with each mark replaced by a tag; evidence that is gone is not linked."""

    def tag(match: re.Match[str]) -> str:
        if match[1] is None:
            # A link's title may run on to the next line and take a mark in: it must not end the attribute.
            return _MARK.sub("", match[0])
        name = _BY_LETTER[match[1]]
        source = sources.get(int(match[2])) if match[2] else None
        word, letter = _word(name, words), _letter(name, words)
        if source is None:
            return f'<sup class="p-origin is-{name}" title="{escape(word)}">{escape(letter)}</sup>'
        title = escape(f"{word}: {source.title}")
        text = escape(f"{letter} {source.label}")
        if source.href:
            text = f'<a href="{escape(source.href)}">{text}</a>'
        return f'<sup class="p-origin is-{name}" title="{title}">{text}</sup>'

    return _TAG_OR_MARK.sub(tag, html)


def legend(words: Words) -> str:
    """Return what the tags mean, as HTML."""
    rows = [
        (MEASURED, words("수집한 증거의 값", "a value of the frozen evidence")),
        (INFERRED, words("증거에서 규칙으로 얻은 결론", "concluded from the evidence by a rule")),
        (PERSON, words("사람이 쓴 내용", "written by a person")),
    ]
    texts = (
        f'<span><sup class="p-origin is-{name}">{escape(_letter(name, words))}</sup> '
        f"{escape(_word(name, words))}: {escape(text)}</span>"
        for name, text in rows
    )
    return f'<p class="p-legend">{" ".join(texts)}</p>'


def _marked(section: str, columns: tuple[str, ...], row: Row) -> Row:
    texts: dict[str, Any] = {}
    for column in columns:
        text = _bare(getattr(row, column))
        texts[column] = _behind(text, _tag_of(section, column, row))
    return replace(row, **texts)


def _tag_of(section: str, column: str, row: Row) -> str:
    """Return the mark of one cell; what a person wrote is backed by nothing but the person."""
    name = origin(section, column, row)
    return _mark(name, None if name == PERSON else row.evidence)


def _behind(text: str, mark: str) -> str:
    """Put a mark behind the first line, unless that opens a code block or there is none."""
    first, newline, rest = text.partition("\n")
    fence = first.lstrip().startswith(("```", "~~~"))
    return text if fence or not first.strip() else f"{first.rstrip()} {mark}{newline}{rest}"


def _mark(provenance: str, evidence: int | None) -> str:
    return f"{_OPEN}{_LETTERS.get(provenance, 'p')}{'' if evidence is None else evidence}{_CLOSE}"


def _bare(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def _word(name: str, words: Words) -> str:
    return {
        MEASURED: words("측정", "Measured"),
        INFERRED: words("추정", "Inferred"),
        PERSON: words("사람", "Person"),
    }[name]


def _letter(name: str, words: Words) -> str:
    return {
        MEASURED: words("측정", "meas."),
        INFERRED: words("추정", "inf."),
        PERSON: words("사람", "pers."),
    }[name]
