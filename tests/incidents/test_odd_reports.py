"""Reports that were written down one by one, each odd in its own way: read, kept whole, and stable."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from incidents.reports import importing
from incidents.reports.markdown import parse, render
from tests.incidents.test_authors import words

FOLDER = Path(__file__).parent.parent / "data" / "odd-reports"
#: What is printed in the layout's own words: names of columns and headings, the label and form of the time.
REWORDED = {
    "all-level-one": "",
    "bold-headings-fullwidth-bom": "： － 2026년 3월 5일 14시 20분",
    "carriage-returns-bidi-long-cells": "svc mem",
    "deep-headings-bilingual": "problem details",
    "front-matter-closed-headings": "",
    "numbered-crlf-pipeless": "at now should be",
    "repeated-sections-odd-tables": "서비스 상태 cpu 메모리",
    "text-around-tables": "status",
    "underlined-html-footnotes": "",
}


def read(name):
    return importing.decode((FOLDER / f"{name}.md").read_bytes(), name)


def test_every_report_of_the_folder_is_tried():
    assert {path.stem for path in FOLDER.iterdir()} == set(REWORDED)


@pytest.mark.parametrize("name", REWORDED)
def test_no_word_is_lost_and_the_export_reads_as_itself(name):
    text = read(name)
    document = parse(text).document
    printed = render(document)

    reworded = {"bash", "요약", "보고서", "summary", "report", *REWORDED[name].split()}
    lost = set(Counter(words(text)) - Counter(words(printed)))
    assert lost <= reworded
    assert parse(printed).document == document
    assert render(parse(printed).document) == printed


def test_sections_under_single_marks_are_sections():
    document = parse(read("all-level-one")).document

    assert document.title == "WebSocket 서버 장애 보고"
    assert document.root_cause == "프록시 idle timeout 60초"
    assert document.checklist[0].text == "P0: 문서화 (담당: 김철수, 기한: 2026-06-30)"
    assert {(cause.kind, cause.text) for cause in document.causes} == set()
    assert "keepalive 없음" in render(document)


def test_sections_under_four_marks_are_sections_in_either_language_or_both():
    document = parse(read("deep-headings-bilingual")).document

    assert document.title.startswith("API Gateway 장애")
    assert document.root_cause == "retry loop"
    assert [row.ticked for row in document.checklist[:2]] == [False, True]
    assert document.proxies[0].body.startswith("```nginx\nlocation /ws")


@pytest.mark.parametrize("mark", ["# #", "## ##", "## #"])
def test_only_one_closing_of_a_heading_is_taken_off_and_the_rest_stays(mark):
    kept = mark.split()[0]
    text = f"# Down - Summary report\n\n## Root cause {mark}\n\nretry loop\n\n## Other {mark}\n\ntext\n"
    document = parse(text).document
    printed = render(document)

    assert f"## Other {kept} #\n" in printed
    assert [extra.heading for extra in document.extras] == [f"Other {kept}"]
    assert parse(printed).document == document
    assert render(parse(printed).document) == printed


def test_bold_lines_are_headings_where_there_are_no_others():
    document = parse(read("bold-headings-fullwidth-bom")).document

    assert document.title == "결제 서버 장애"
    assert document.analysed_at == datetime(2026, 3, 5, 5, 20, tzinfo=UTC)
    assert document.status[0].cpu == "９９％"
    assert len(document.checklist) == 4


def test_a_bold_line_in_a_report_with_headings_stays_text():
    document = parse("# x\n\n## 문제 상세\n\n### 1. a\n\n**현재 상태**\n\n나쁨\n").document

    assert document.status == ()
    assert document.problems[0].body == "**현재 상태**\n\n나쁨"


@pytest.mark.django_db
@pytest.mark.parametrize("name", REWORDED)
def test_each_becomes_an_incident_with_its_report(name):
    done = importing.import_text(text=read(name), name=f"{name}.md", now=datetime(2026, 7, 1, tzinfo=UTC))

    assert done.created
    assert done.incident.report.title
    assert all(issue.line >= 1 for issue in done.issues)
