"""Reports that nobody would write, made from real ones: each is read or refused, and no line is lost."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.models import Incident
from incidents.reports import export, importing, layout
from incidents.reports.importing import ImportRefused
from incidents.reports.markdown import parse, render
from tests.fuzz.effort import cases, effort
from tests.incidents import authors
from tests.incidents.test_authors import MEANT, words

NOW = datetime(2026, 7, 1, tzinfo=UTC)
DATA = Path(__file__).parent.parent / "data"
CORPUS = [
    path.read_bytes().decode("utf-8-sig")
    for path in (DATA / "seed-report.md", *sorted((DATA / "odd-reports").iterdir()))
] + [authors.write(number).removeprefix("\ufeff") for number in range(authors.COUNT)]
LINES = sorted({line for text in CORPUS for line in text.splitlines()})
#: What breaks parsers: marks of Markdown, ends of lines, directions, halves of characters that combine.
ODD = st.sampled_from(
    [
        *"#|`*_-~>[]()\\<&:.\t\r\u2028\u0085\x0b\x0c\u202e\ufeff\u0301\u200b\x1b\x00",
        *(
            "\r\n",
            "```",
            "~~~",
            "---",
            "| - |",
            "- [ ] ",
            "- [x] ",
            "# ",
            "## ",
            "### 1. ",
            "<br>",
            "<!--",
            "-->",
        ),
        *("\\|", "&#124;", "１", "𝟙", "👩\u200d👧"),
    ]
)
TEXTS = st.text(max_size=30) | ODD
#: CPU seconds that a report of a few hundred KiB may cost, and MiB that are left of all of them.
CPU_S, GROWTH_MIB = 4.0, 32
#: Words that the layout prints in its own form: headings, names of columns, what stands for nothing.
PRINTED = [
    *(text for texts in layout.HEADINGS.values() for text in texts.values()),
    *(name for table in layout.TABLES.values() for names in table.header.values() for name in names),
    *(text for texts in (layout.PROXY_TITLE, layout.ACCESS_TITLE) for text in texts.values()),
    *(text for texts in (layout.NO_DATA, layout.UNTITLED) for text in texts.values()),
]
REWORDED = {*MEANT, "－", "–", "—", *(word for text in PRINTED for word in words(text))}


@st.composite
def reports(draw: st.DrawFn) -> str:
    """Return a report with up to eight changes to its lines or characters."""
    text = draw(st.sampled_from(CORPUS))
    for _ in range(draw(st.integers(0, 8))):
        text = _changed(draw, text)
    return text


def _changed(draw: st.DrawFn, text: str) -> str:
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines)))
    to = min(len(lines), at + draw(st.integers(0, 6)))
    spot = draw(st.integers(0, len(text)))
    match draw(st.integers(0, 8)):
        case 0:
            return "\n".join(lines[:at] + lines[to:])
        case 1:
            return "\n".join(lines[:to] + lines[at:to] + lines[to:])
        case 2:
            return "\n".join(lines[to:] + lines[at:to] + lines[:at])
        case 3:
            return "\n".join([*lines[:at], draw(st.sampled_from(LINES)), *lines[at:]])
        case 4:
            return "\n".join([*lines[:at], draw(TEXTS), *lines[at:]])
        case 5:
            return text[:spot] + draw(TEXTS) + text[spot:]
        case 6:
            return text[:spot] + text[spot + draw(st.integers(1, 40)) :]
        case 7:
            return text[:spot]
        case _:
            return "\n".join(lines[:at] + lines[at:to] * draw(st.integers(2, 60)) + lines[to:])


def lost(text: str) -> set[str]:
    """Return the words of lines that are neither printed again nor listed."""
    done = parse(text)
    listed = {issue.line for issue in done.issues}
    there = set(words(render(done.document)))
    missing: set[str] = set()
    for line, source in enumerate(re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), 1):
        time_of_analysis = done.document.analysed_at and any(
            _bare(label.strip("*:")) in _bare(source) for label in layout.ANALYSED.values()
        )
        # The number of a list's item is printed anew; an item may be nothing else.
        source = re.sub(r"^[#\s>*+-]*\d{1,9}[.)]\s*$", "", source)
        if line not in listed and not time_of_analysis:
            missing |= {word for word in words(source) if word not in there and word not in REWORDED}
    return missing


def _bare(text: str) -> str:
    return "".join(text.lower().split())


@given(reports())
@effort(150)
def test_no_line_of_a_report_is_lost_and_its_export_reads_as_itself(text: str) -> None:
    cases["import"] += 1
    began = time.process_time()

    document = parse(text).document
    printed = render(document)
    again = parse(printed).document

    assert lost(text) == set(), lost(text)
    assert render(again) == printed, printed
    assert time.process_time() - began < CPU_S


@given(reports().map(str.encode) | st.binary(max_size=400), st.data())
@effort(60)
def test_any_bytes_are_read_or_refused_with_a_sentence(raw: bytes, data: st.DataObject) -> None:
    cases["import"] += 1
    for _ in range(data.draw(st.integers(0, 4))):
        spot = data.draw(st.integers(0, len(raw)))
        raw = raw[:spot] + data.draw(st.binary(max_size=3)) + raw[spot + data.draw(st.integers(0, 3)) :]
    text, refusal = "", ""
    try:
        text = importing.decode(raw, "report.md")
    except ImportRefused as refused:
        refusal = str(refused)
    assert bool(text) != refusal.startswith("report.md")
    assert lost(text) == set()


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_client")
def test_what_is_imported_is_exported_and_imports_to_no_change() -> None:
    grown = 0

    @given(reports())
    @effort(25)
    def tried(text: str) -> None:
        nonlocal grown
        cases["import"] += 1
        # Around the import alone: Hypothesis reads every module when it likes, and holds 200 MiB meanwhile.
        before = _resident()
        _import_twice(text)
        grown += _resident() - before

    tried()
    assert Incident.objects.exists()
    assert grown < GROWTH_MIB * 1024 * 1024


def _import_twice(text: str) -> None:
    try:
        text = importing.decode(text.encode(), "report.md")
        done = importing.import_text(text=text, name="report.md", now=NOW)
    except ImportRefused:
        return
    printed = export.render(done.incident, "summary", "md", done.incident.report.language)
    again = importing.import_text(text=printed, name="report.md", now=NOW)
    assert (again.incident, again.created) == (done.incident, False)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)
