"""Fifty reports of fifty habits: every line is in a row, in an extra section, or listed; nothing is lost."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from datetime import UTC, datetime

import pytest

from incidents.reports import layout
from incidents.reports.markdown import parse, render
from incidents.reports.model import IssueCode
from tests.incidents import authors

STAMP = datetime(2026, 2, 6, 0, 15, tzinfo=UTC)
REPORTS = [authors.write(number) for number in range(authors.COUNT)]
#: What a document says in another form than it was written in.
MEANT = {
    *("[x]", "[X]", "[ ]"),
    *(word for texts in layout.SUFFIX.values() for text in texts.values() for word in text.lower().split()),
    *(word for text in layout.ANALYSED.values() for word in text.lower().split()),
}


def words(text):
    """The words of a line: letters, digits and symbols that are no Markdown."""
    # Numbers of lists and headings are counted anew, and a block of commands is always called bash.
    text = re.sub(r"(?m)^[#\s>]*\d{1,2}[.)]\s|^(?:```|~~~)\s*(?:ba)?sh$", "", text)
    plain = unicodedata.normalize("NFC", text).replace("\\|", "|").replace("<br>", " ")
    return re.findall(r"[^\W_]+|[^\w\s#*+\-=~`|>:.()\[\]!\\/<]", plain.lower())


def test_the_fifty_differ():
    assert len(set(REPORTS)) == 50


def lines_of(text):
    return list(enumerate(re.split(r"\r\n|\n", text.removeprefix("\ufeff")), 1))


@pytest.mark.parametrize("number", range(authors.COUNT))
def test_every_line_is_kept_or_listed(number):
    done = parse(REPORTS[number])
    listed = {issue.line for issue in done.issues}
    there = Counter(words(render(done.document)))
    wanted: Counter[str] = Counter()
    for line, source in lines_of(REPORTS[number]):
        read_time = done.document.analysed_at == STAMP and ("Analysed:" in source or "분석 일시:" in source)
        if line not in listed and not read_time:
            wanted.update(word for word in words(source) if word not in MEANT)

    assert wanted - there == Counter(), "as often as it was written, it is printed again"


@pytest.mark.parametrize("number", range(authors.COUNT))
def test_an_export_imports_to_itself(number):
    first = parse(REPORTS[number]).document

    exported = render(first)
    again = parse(exported)

    assert again.document == first or render(again.document) == exported
    assert render(parse(render(again.document)).document) == render(again.document)


def test_most_of_what_people_write_becomes_rows():
    kept = [parse(text) for text in REPORTS]
    typed = sum(
        bool(one.document.status or one.document.checklist or one.document.causes or one.document.fixes)
        for one in kept
    )

    assert typed >= 45
    assert sum(not one.document.title for one in kept) <= 6
    assert all(issue.line >= 1 for one in kept for issue in one.issues if issue.code is not IssueCode.NOTHING)
