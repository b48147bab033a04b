"""The seed's Markdown to rows and back, odd reports, and the fixed point as properties."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from incidents.reports import model
from incidents.reports.layout import HEADINGS
from incidents.reports.markdown import parse, render
from incidents.reports.model import IssueCode


@pytest.fixture
def seed(seed_report):
    return seed_report.read_text(encoding="utf-8")


def codes(text):
    return [(issue.line, issue.code) for issue in parse(text).issues]


def test_the_seed_parses_to_its_rows_without_a_finding(seed):
    parsed = parse(seed)
    document = parsed.document

    assert parsed.issues == ()
    assert (document.title, document.language) == ("Infrastructure Down", "ko")
    assert document.analysed_at == datetime(2026, 2, 6, 0, 15, tzinfo=UTC)
    assert document.root_cause.startswith("WebSocket 연결 무한 재시도 루프 → API Gateway CPU 102%")
    assert document.status[0] == model.Status(
        service="api-gateway", state="🔴 **CRITICAL**", cpu="**102.80%**", memory="**10.23 GB**"
    )
    assert [problem.title for problem in document.problems] == [
        "WebSocket 연결 실패 무한 루프",
        "Healthcheck 실패",
        "외부 접속 결과",
    ]
    assert "Reconnection failed after 5 attempts" in document.problems[0].body
    assert '"FailingStreak": 397' in document.problems[1].body
    assert document.problems[2].kind == "access"
    assert document.access[3] == model.Access(
        path="`wss://stock.ralphpark.com/ws`", result="❌ 502 Bad Gateway"
    )
    assert [row.kind for row in document.causes] == ["direct"] * 3 + ["secondary"] * 3
    assert document.code_problems[1].right == "제한 필요 (예: 100회)"
    assert [row.command for row in document.commands] == [
        "docker restart api-gateway",
        "docker logs -f api-gateway --tail 100",
        "curl http://localhost:5111/health",
    ]
    assert [row.priority for row in document.fixes] == ["P0", "P0", "P1"]
    assert 'proxy_set_header Connection "upgrade";' in document.proxies[0].body
    assert len(document.long_term) == 4
    assert document.files[1] == model.File(
        label="요약 보고서", path="docs/report/infrastructure_down_summary_20260206.md", note="이 파일"
    )
    assert len(document.checklist) == 6
    assert not document.extras


def test_the_seed_is_exported_byte_for_byte(seed):
    assert render(parse(seed).document) == seed


def test_the_english_export_of_the_seed_reads_back_to_the_same_rows(seed):
    document = parse(seed).document
    english = render(model.Document(**{**vars_of(document), "language": "en"}))

    assert "## 🔴 Root cause (in one line)" in english
    again = parse(english).document
    assert again.language == "en"
    assert again.checklist == document.checklist
    assert again.commands == document.commands
    assert again.causes == document.causes
    assert parse(english).issues == ()


def vars_of(document):
    return {name: getattr(document, name) for name in document.__dataclass_fields__}


def test_a_missing_section_is_neither_an_error_nor_invented():
    text = "# 장애 - 요약 보고서\n\n---\n\n## 🔴 근본 원인 (한 줄 요약)\n\n**디스크 가득 참**\n"
    parsed = parse(text)

    assert parsed.issues == ()
    assert render(parsed.document) == text


def test_an_empty_section_is_printed_as_no_data_and_read_back_as_empty():
    text = "# x\n\n## 현재 상태\n\n## 체크리스트\n\n데이터 없음\n"
    document = parse(text).document

    assert document.empty == ("status", "checklist")
    assert render(document).count("데이터 없음") == 2
    assert parse(render(document)).document == document


def test_an_unknown_section_is_kept_and_listed_with_its_line():
    text = "# x\n\n## 영향 범위\n\n이용자 120명\n\n### 표\n\n| a |\n|---|\n| 1 |\n\n## 현재 상태\n\n"
    parsed = parse(text)

    assert [(extra.heading, extra.level) for extra in parsed.document.extras] == [("영향 범위", 2)]
    assert "| 1 |" in parsed.document.extras[0].body
    assert (3, IssueCode.KEPT_SECTION) in codes(text)
    assert "## 영향 범위\n\n이용자 120명\n\n### 표" in render(parsed.document)


def test_text_beside_a_table_stays_beside_it():
    text = (
        "# x\n\n## 현재 상태\n\n09시 기준\n\n| 서비스 | 상태 | CPU | 메모리 |\n|-|-|-|-|\n| a | b | c | d |\n"
    )
    parsed = parse(text)

    assert len(parsed.document.status) == 1
    assert (5, IssueCode.KEPT_TEXT) in codes(text)
    assert "09시 기준" in render(parsed.document)


def test_a_table_that_does_not_fit_is_kept_as_it_is():
    text = "# x\n\n## 현재 상태\n\n| 서비스 | 상태 |\n|---|---|\n| a | b |\n"
    parsed = parse(text)

    assert parsed.document.status == ()
    assert (5, IssueCode.KEPT_TABLE) in codes(text)
    assert "| a | b |" in render(parsed.document)


@pytest.mark.parametrize("memory", ["메모리 (GB)", "메모:리", "메*모리"])
def test_a_column_that_is_not_spelt_as_the_layout_does_is_told(memory):
    table = f"| 서비스 | 상태 | **CPU** | {memory} |\n|---|---|---|---|\n| a | b | 1% | 2 |\n"
    text = f"# x\n\n## 현재 상태\n\n{table}"

    assert IssueCode.RENAMED_COLUMNS in {code for _line, code in codes(text)}
    assert codes(text.replace(memory, "메모리")) == []


def test_a_separator_of_lines_inside_a_command_is_a_character_of_it():
    text = "# x\n\n## 해결 방안\n\n### 즉시 조치\n\n```bash\n\u2028# 1. restart\ndocker restart a\n```\n"
    printed = render(parse(text).document)

    assert "\u2028# 1. restart\ndocker restart a" in printed
    assert render(parse(printed).document) == printed


def test_a_hundred_commands_are_printed_as_they_are_read():
    commands = "\n\n".join(f"# {number}. restart\ndocker restart a{number}" for number in range(1, 106))
    printed = render(parse(f"# x\n\n## 해결 방안\n\n### 즉시 조치\n\n```bash\n{commands}\n```\n").document)

    assert "# 99. restart\ndocker restart a99" in printed
    assert "docker restart a105" in printed
    assert render(parse(printed).document) == printed


def test_columns_are_found_by_name():
    text = (
        "# x\n\n## Current state\n\n| Memory | CPU | Service | State |\n|-|-|-|-|\n| 1 GB | 2% | a | up |\n"
    )
    row = parse(text).document.status[0]

    assert row == model.Status(service="a", state="up", cpu="2%", memory="1 GB")


def test_another_wording_of_a_heading_is_recognised_and_kept():
    text = "# 장애 보고\n\n## 코드 수정 (Frontend)\n\n| 파일 | 내용 | 우선순위 |\n|-|-|-|\n| a | b | 높음 |\n"
    parsed = parse(text)

    assert parsed.document.fixes == (model.Fix(file="a", change="b (높음)", priority="P1"),)
    assert IssueCode.UNKNOWN_PRIORITY in [issue.code for issue in parsed.issues]
    assert "### 코드 수정 (Frontend)" in render(parsed.document)


def test_nested_lists_stay_under_their_item():
    text = "# x\n\n## 원인 분석\n\n### 직접적 원인\n\n- 재시도\n  - 백오프 없음\n  - 제한 없음\n- 로그\n"
    document = parse(text).document

    assert [row.text for row in document.causes] == ["재시도\n- 백오프 없음\n- 제한 없음", "로그"]
    assert "- 재시도\n  - 백오프 없음\n  - 제한 없음\n- 로그" in render(document)


def test_a_fence_that_never_closes_is_listed_and_closed():
    text = "# x\n\n## 문제 상세\n\n### 1. a\n\n```\nlog\n\n## 체크리스트\n"
    parsed = parse(text)

    assert (7, IssueCode.OPEN_FENCE) in codes(text)
    assert parsed.document.problems[0].body == "```\nlog\n\n## 체크리스트\n\n```".replace("\n\n```", "\n```")


def test_a_heading_in_a_code_block_begins_no_section():
    text = "# x\n\n## 문제 상세\n\n### 1. a\n\n```\n## 체크리스트\n- [ ] b\n```\n"
    assert parse(text).document.checklist == ()


def test_a_repeated_section_is_kept_beside_the_first():
    text = "# x\n\n## 체크리스트\n\n- [ ] a\n\n## 체크리스트\n\n- [x] b\n"
    document = parse(text).document

    assert [item.text for item in document.checklist] == ["a"]
    assert [(extra.heading, extra.body) for extra in document.extras] == [("체크리스트", "- [x] b")]
    assert (7, IssueCode.REPEATED_SECTION) in codes(text)


@pytest.mark.parametrize(
    ("written", "hour"),
    [
        ("2026-02-06 09:15 (KST)", 0),
        ("2026.02.06 09:15", 0),
        ("2026년 2월 6일 09:15 KST", 0),
        ("2026-02-06T09:15:00 UTC", 9),
    ],
)
def test_usual_times_are_read(written, hour):
    parsed = parse(f"# x\n\n**분석 일시:** {written}\n")
    assert parsed.document.analysed_at == datetime(2026, 2, 6, hour, 15, tzinfo=UTC)


@pytest.mark.parametrize("written", ["어제", "2026-13-40", "2026-02-06 09:15 무렵"])
def test_a_time_that_cannot_be_read_is_kept_and_listed(written):
    text = f"# x\n\n**분석 일시:** {written}\n"
    assert (3, IssueCode.BAD_TIME) in codes(text)
    assert written in render(parse(text).document)


def test_a_row_with_markdown_of_its_own_survives():
    document = model.Document(
        title="a | b",
        status=(model.Status(service="a|b", state="x\ny"),),
        problems=(model.Problem(title="t", body="# not a section\n\n## nor this\n\n```\nopen"),),
        commands=(model.Command(comment="run", command="cat <<E\n```\nE"),),
    )
    once = parse(render(document)).document

    assert once.status == document.status
    assert once.problems[0].body == "# not a section\n\n## nor this\n\n```\nopen\n```"
    assert once.commands == document.commands


SEED_LINES = [
    *(f"## {text}" for text in HEADINGS["ko"].values()),
    *(f"### {text}" for text in HEADINGS["en"].values()),
    "# 제목", "## 기타", "### 1. 문제", "### 외부 접속 결과", "### Nginx 수정", "#### 소제목",
    "## 2. 2차적 원인",
    "**분석 일시:** 2026-02-06 09:15 (KST)", "**분석 일시:** 어제", "**굵게**", "글", "  들여쓴 글",
    "---", "***",
    "| a | b |", "|---|---|", "| c | d |", "| a | b | c |", "|---|---|---|", "| e | f \\| g | P0 |",
    "| 서비스 | 상태 | CPU | 메모리 |", "|-|-|-|-|", "| x | y | z | w |",
    "- 항목", "  - 하위", "1. 첫째", "- [ ] 할 일", "- [x] 한 일", "- **상세:** `docs/a.md` (이 파일)",
    "* * *", "# 현재 상태", "# Checklist", "#### 근본 원인", "##### Long-term", "**현재 상태**",
    "__Checklist__", "## 상태 / Status",
    "```", "```bash", "~~~", "# 1. 주석", "docker restart x", "- ```", "  ```", "    code",
    "> 인용", "-", "#", "##",
    "\\# 글", "\\## 체크리스트", "데이터 없음", "No data", "", "", "", "<!-- x -->", "가\u2028나", "a\tb",
]  # fmt: skip
texts = st.lists(st.sampled_from(SEED_LINES) | st.text("가aA1 #|-*`\\[]().>~\t", max_size=12), max_size=30)


def words(text):
    kept = re.sub(r"<br>|\[[ xX]\]|^\s*\d{1,9}[.)]\s", " ", text, flags=re.MULTILINE)
    return set(re.findall(r"[가-힣A-Za-z]{2,}", kept))


@settings(max_examples=400, deadline=None)
@given(texts.map("\n".join))
@example("# a\n\n## 원인 분석\n\n## 기타\n\n### 2. 2차적 원인\n\n- b")
def test_exporting_importing_and_exporting_again_changes_nothing(text):
    first = parse(text).document
    once = render(first)
    second = parse(once).document
    assert render(second) == once
    assert parse(render(second)).document == second


@settings(max_examples=400, deadline=None)
@given(texts.map("\n".join))
def test_no_word_of_a_report_is_lost(text):
    ignored = words(" ".join(["bash sh 데이터 없음 No data 분석 일시", *HEADINGS["ko"].values()]))
    ignored |= words(" ".join(HEADINGS["en"].values()))
    headers = words("서비스 상태 CPU 메모리 a b c")
    assert words(text) - ignored - headers <= words(render(parse(text).document))


cell = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n|`#"), max_size=12
)


def rows(row, /, **fields):
    """Up to two rows of one type as a tuple."""
    return st.lists(st.builds(row, **fields), max_size=2).map(tuple)


documents = st.builds(
    model.Document,
    title=cell,
    language=st.sampled_from(["ko", "en"]),
    root_cause=cell,
    status=rows(model.Status, service=cell, state=cell, cpu=cell, memory=cell),
    problems=rows(model.Problem, title=cell, body=cell, kind=st.sampled_from(["text", "access"])),
    access=rows(model.Access, path=cell, result=cell),
    causes=rows(model.Cause, kind=st.sampled_from(["direct", "secondary"]), text=cell),
    commands=rows(model.Command, comment=cell, command=cell),
    fixes=rows(model.Fix, file=cell, change=cell, priority=st.sampled_from(["P0", "P3"])),
    proxies=rows(model.Proxy, title=cell, body=cell),
    long_term=rows(model.LongTerm, text=cell),
    files=rows(model.File, label=cell, path=cell, note=cell),
    checklist=rows(model.Item, text=cell, ticked=st.booleans()),
    extras=rows(
        model.Extra,
        heading=cell,
        level=st.integers(0, 3),
        body=cell,
        after=st.sampled_from(["title", "status", "problems", "causes", "direct", "proxy", "checklist"]),
    ),
)


@settings(max_examples=300, deadline=None)
@given(documents)
def test_any_rows_that_people_write_are_stable_after_the_first_export(document):
    once = parse(render(document)).document
    text = render(once)
    assert parse(text).document == once
    assert render(parse(text).document) == text


@pytest.mark.parametrize(
    "text",
    [
        "# a" + " " * 40_000 + "b\n",
        "## a" + " #" * 20_000 + "b\n",
        "# a" + " " * 40_000 + "- b\n",
        "## 현재 상태\n\n| a | b | c | d |\n" + " " * 40_000 + "|x\n",
        "## 현재 상태\n\n| a | b | c | d |\n" + "|-" * 20_000 + "x\n",
        "## 현재 상태\n\n| a | b | c | d |\n|-|-|-|-|\n| a" + " " * 40_000 + "b | c | d | e |\n",
    ],
    ids=["heading", "closing marks", "title", "blank rule", "rule", "cell"],
)
def test_a_long_run_of_blanks_is_read_and_printed_in_one_pass(text):
    start = time.process_time()
    parse(render(parse(text).document))
    assert time.process_time() - start < 1
