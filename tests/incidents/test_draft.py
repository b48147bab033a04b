"""Frozen evidence to the drafted report: the seed's layout with what was measured, and nothing else."""

from __future__ import annotations

import json
import re

import pytest

from incidents import reports
from incidents.models import EvidenceKind, Provenance, Report, TimelineKind
from incidents.reports.drafting import draft_report, findings
from incidents.reports.export import document_for, render_page
from incidents.reports.importing import import_text
from incidents.reports.localiser import FINDINGS
from incidents.reports.rows import SECTIONS
from tests.incidents.conftest import NOW, after, fire
from tests.incidents.measured import ABSENT, LOGS, UPSTREAM, endpoint, freeze

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("korean")]


@pytest.fixture
def incident():
    return fire().incident


def drafted(incident, *left_out, **changes):
    """Freeze the evidence, draft the report; returns it with the evidence by kind."""
    frozen = freeze(incident, *left_out, **changes)
    return draft_report(incident=incident, now=after(20)), frozen


def section(text, heading):
    """Return the lines of the section (of any level) whose heading holds ``heading``."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("##") and heading in line)
    level = lines[start].index(" ")
    end = next(
        (n for n, line in enumerate(lines) if n > start and re.match(rf"##{{1,{level - 1}}} ", line)), None
    )
    return [line for line in lines[start + 1 : end] if line and line != "---"]


def headings(text):
    return [line for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines() if line[:1] == "#"]


def test_the_draft_has_the_sections_of_the_seed_in_their_order(incident, seed_report):
    drafted(incident)
    seed = headings(seed_report.read_text(encoding="utf-8"))
    mine = headings(reports.render(incident, "summary", "md", "ko"))

    assert mine[0] == "# api-gateway: 헬스체크 연속 실패 - 요약 보고서"
    assert mine[1:] == seed[1:]


def test_the_korean_draft_holds_the_measured_numbers(incident):
    drafted(incident)
    text = reports.render(incident, "summary", "md", "ko")

    assert section(text, "근본 원인") == [
        "**WebSocket 연결 무한 재시도 루프 (로그의 99%) → api-gateway CPU 102.80%, 메모리 10.23 GB 사용"
        " → 헬스체크 397회 연속 실패**"
    ]
    assert section(text, "현재 상태")[2:] == [
        "| api-gateway | 🔴 **CRITICAL** | **102.80%** | **10.23 GB** |",
        "| frontend | 🟢 Healthy | 3.83% | 257 MB |",
        "| 기타 서비스 (2개) | 🟢 Healthy | <1% | <100 MB |",
    ]
    log = section(text, "1. WebSocket 연결 실패 무한 루프")
    assert log[1:3] == [f"WebSocket connection timeout {UPSTREAM}", "Reconnection failed after 5 attempts"]
    assert f"- **대상:** `{UPSTREAM}`" in log
    assert "218,431회, 초당 ≥3,642줄" in log[-2]
    assert '  "FailingStreak": 397' in section(text, "2. Healthcheck 실패")
    assert "- **실패 지속:** 397회 × 30초 ≈ 3시간 18분" in section(text, "2. Healthcheck 실패")
    assert section(text, "3. 외부 접속 결과")[2:] == [
        "| `http://localhost:5111/health` (inside) | ✅ 정상 (12 ms) |",
        "| `http://112.219.120.75:5111/health` (public) | ✅ 정상 (18 ms) |",
        "| `https://stock.ralphpark.com/api/` (domain) | ❌ timeout (>15 s) |",
        "| `wss://stock.ralphpark.com/ws` (domain) | ❌ 502 Bad Gateway |",
        f"- **위치 추정:** {FINDINGS['1110'].ko}",
    ]
    assert [line[2:6] for line in section(text, "직접적 원인")] == ["WebS", "멈추지 ", "로그 폭"]
    assert "- 메모리 과다 사용 (10.23 GB, 제한 없음)" in section(text, "2차적 원인")
    assert "docker restart api-gateway" in section(text, "즉시 조치")
    assert '    proxy_set_header Connection "upgrade";' in section(text, "Nginx Proxy Manager")
    assert section(text, "장기적 개선")[1].endswith("현재 CPU 없음, 메모리 없음")
    assert len(section(text, "체크리스트")) == 7


@pytest.mark.parametrize(
    ("service", "direct", "expected"),
    [
        ("api-gateway", False, "프록시에서 고칠 것 없음: 프록시 경로의 WebSocket 실패(502 Bad Gateway)"),
        ("api-gateway", None, "데이터 없음"),
        ("web", True, "데이터 없음"),
    ],
)
def test_the_proxy_is_not_to_be_changed_for_a_service_that_does_not_answer(
    incident, service, direct, expected
):
    probes = [
        endpoint("http", "host", "http://127.0.0.1:5111/health", direct, "timeout", None)
        | {"service": service},
        endpoint("websocket", "domain", "wss://stock.example/ws", False, "502 Bad Gateway", None),
    ]
    report, _frozen = drafted(incident, probes={"endpoints": probes})
    text = reports.render(incident, "summary", "md", "ko")

    assert section(text, "Nginx Proxy Manager")[0].startswith(expected)
    assert "proxy.upgrade" not in report.checklist.values_list("verifier", flat=True)


def test_the_english_draft_says_the_same_with_the_same_numbers():
    incident = fire(title="health check").incident
    drafted(incident)
    korean = reports.render(incident, "summary", "md", "ko")
    english = reports.render(incident, "summary", "md", "en")

    assert not re.search(r"[가-힣]", english)
    root = section(english, "Root cause")[0]
    assert "CPU 102.80%, memory 10.23 GB → 397 failed health checks in a row" in root
    assert len(headings(english)) == len(headings(korean))

    def counted(text):
        return sorted(re.findall(r"\d[\d.,]*\d", text))

    assert counted(english) == counted(korean)


def test_every_number_names_its_evidence_and_every_row_its_origin(incident):
    report, frozen = drafted(incident)
    number = {kind: row.pk for kind, row in frozen.items()}

    assert (report.root_cause_provenance, report.root_cause_evidence_id) == ("inferred", number["logs"])
    assert set(report.statusrow_set.values_list("provenance", "evidence")) == {
        ("measured", number["metrics"])
    }
    assert list(report.problemdetail_set.values_list("evidence", flat=True)) == [
        *(number["logs"], number["health"], number["probes"])
    ]
    assert set(report.accessrow_set.values_list("evidence", flat=True)) == {number["probes"]}
    assert list(report.causerow_set.values_list("text", "evidence")[2:]) == [
        ("로그 폭주 (220,431줄, 초당 ≥3,642줄)", number["logs"]),
        ("CPU 고갈(102.80%)로 다른 요청 처리 지연", number["metrics"]),
        ("메모리 과다 사용 (10.23 GB, 제한 없음)", number["metrics"]),
        ("Healthcheck 397회 연속 실패", number["health"]),
    ]
    assert set(report.codeproblem_set.values_list("evidence", flat=True)) == {number["logs"]}
    for part in SECTIONS:
        assert not part.stored._default_manager.filter(provenance=Provenance.PERSON).exists()
    exported = json.loads(reports.render(incident, "summary", "json", "ko"))
    assert exported["report"]["status"][0]["evidence"] == number["metrics"]


UNKNOWN = {
    EvidenceKind.METRICS: ("현재 상태", ["데이터 없음"]),
    EvidenceKind.LOGS: ("1. 로그", ["데이터 없음"]),
    EvidenceKind.PROBES: ("외부 접속 결과", ["데이터 없음"]),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_section_without_its_evidence_says_no_data(incident, kind):
    drafted(incident, kind)
    heading, lines = UNKNOWN[kind]

    assert section(reports.render(incident, "summary", "md", "ko"), heading) == lines


def test_without_any_evidence_nothing_is_measured_guessed_or_found(incident):
    drafted(incident, *EvidenceKind)
    text = reports.render(incident, "summary", "md", "ko")

    assert text.count("데이터 없음") == 13, "not even which command would help"
    assert not re.search(r"\d+(\.\d+)?\s?(%|GB|MB|회|줄)", text)
    assert findings(incident, NOW, "en") == []


def test_a_value_that_nobody_measured_is_no_data_in_its_cell(incident):
    unknown = {"cpu_percent": None, "memory_bytes": None, "log_lines_per_s": None}
    drafted(incident, metrics=unknown, inspect={"limits": None, "log_options": None})
    text = reports.render(incident, "summary", "md", "ko")

    assert section(text, "현재 상태")[2] == "| api-gateway | 🔴 **CRITICAL** | 데이터 없음 | 데이터 없음 |"
    assert "| 재시도 간격 | 데이터 없음 | 1s → 2s → 4s → ... (≤60s) |" in section(text, "코드 문제점")
    assert "메모리" not in " ".join(section(text, "2차적 원인"))
    assert [line.partition("— ")[2] for line in section(text, "장기적 개선")[1:3]] == ["현재 데이터 없음"] * 2


def test_a_limit_that_nobody_looked_for_is_not_called_missing(incident):
    report, _frozen = drafted(incident, metrics={"memory_limit_bytes": ABSENT})

    assert [row.text for row in report.causerow_set.filter(text__contains="메모리")] == [
        "메모리 과다 사용 (10.23 GB)"
    ]
    assert not report.fixrow_set.filter(change__contains="메모리").exists()


def test_the_limits_that_run_are_named(incident):
    limits = {"cpu_cores": 1.0, "memory_bytes": 2 * 1024**3}
    drafted(incident, inspect={"limits": limits, "log_options": {"max-size": "10m", "max-file": "3"}})
    text = reports.render(incident, "summary", "md", "en")

    assert section(text, "Long-term")[1].endswith("now CPU 1 cores, memory 2.00 GB")
    assert section(text, "Long-term")[2].endswith("now max-size: 10m, max-file: 3")


def test_a_service_without_a_health_check_is_not_said_to_fail_it(incident):
    none = {"status": "none", "failing_streak": 0, "interval_s": None, "log": []}
    drafted(incident, health=none, metrics={"health": "none", "failing_streak": 0})
    text = reports.render(incident, "summary", "md", "en")

    assert section(text, "2. Health check") == ["There is no health check."]
    assert "health" not in section(text, "Root cause")[0]


def test_a_lost_upstream_is_blamed_only_for_the_gateway_s_own_incident(incident):
    lost = {
        "slot": "a1",
        "feed": "reconnecting",
        "attempts_count": 14,
        "attempts": [{}],
        "last_error": "timeout",
    }
    quiet = {"templates": [], "lines_total": 0}
    drafted(incident, gateway={"slots": [lost]}, logs=quiet)
    own = fire(fingerprint="gateway:a1", service="a1", title="Kiwoom").incident
    report, frozen = drafted(own, EvidenceKind.METRICS, gateway={"slots": [lost]}, logs=quiet)

    assert "키움" not in Report.objects.get(incident=incident).root_cause
    assert report.root_cause.startswith("키움 연결 끊김 (시도 14회, 마지막 오류: timeout)")
    assert report.root_cause_evidence_id == frozen["gateway"].pk


def test_hostile_log_text_is_escaped_in_html_and_harmless_in_tables(incident):
    line = "timeout <script>alert(1)</script> ``` | \x1b[31m<img src=x onerror=a(2)> [a](javascript:a(3))"
    hostile = {**LOGS["templates"][0], "template": line, "sample": line}
    output = [{"at": NOW.isoformat(), "exit_code": 1, "output": "</code><script>alert(4)</script>"}]
    others = [{"service": "<script>alert(5)</script>", "state": "running", "health": "unhealthy"}]
    failed = endpoint(
        "http", "domain", "http://a/", False, "<img src=x onerror=a(6)> | [b](javascript:a(7))", None
    )
    drafted(
        incident,
        logs={"templates": [hostile]},
        health={"log": output},
        metrics={"others": others},
        probes={"endpoints": [failed]},
    )

    for html in (reports.render(incident, "detail", "html", "ko"), render_page(incident, "detail", "en")):
        body = html.partition("<body>")[2] or html
        assert not re.search(r"<(script|img|iframe|style)|<[^>]*\bon\w+\s*=|href=\"javascript", body)
        assert all(f"&lt;script&gt;alert({n})&lt;/script&gt;" in body for n in (1, 4, 5))
        assert "&lt;img src=x onerror=a(6)&gt;" in body
        assert "\x1b" not in body
    text = reports.render(incident, "summary", "md", "ko")
    assert headings(text)[-1] == "## ✅ 체크리스트 (재발 방지)"


def test_a_new_draft_renews_numbers_and_keeps_what_a_person_wrote(incident):
    report, _frozen = drafted(incident)
    cause = report.causerow_set.get(text__startswith="멈추지")
    cause.text, cause.provenance = "백오프가 꺼져 있었다", Provenance.PERSON
    cause.save()
    freeze(incident, metrics={"cpu_percent": 55.5})
    draft_report(incident=incident, now=after(90))

    assert report.statusrow_set.all()[0].cpu == "55.50%"
    cause.refresh_from_db()
    assert cause.text == "백오프가 꺼져 있었다"
    assert report.checklist.count() == 7
    assert incident.timeline.filter(kind=TimelineKind.DRAFTED).count() == 2


@pytest.mark.parametrize("language", ["ko", "en"])
def test_importing_a_draft_s_export_changes_no_row_and_takes_no_origin(incident, language):
    report, _frozen = drafted(incident)
    before = document_for(report, "ko")
    origins = [list(part.stored._default_manager.values()) for part in SECTIONS]
    text = reports.render(incident, "summary", "md", language)

    done = import_text(text=text, name="draft.md", now=after(60))

    assert (done.incident, done.changed, done.issues) == (incident, False, ())
    assert document_for(report, "ko") == before
    assert [list(part.stored._default_manager.values()) for part in SECTIONS] == origins
    assert reports.render(incident, "summary", "md", language) == text


def test_a_failing_endpoint_of_another_service_is_no_effect_of_this_outage(incident):
    other = {**endpoint("http", "host", "http://127.0.0.1:1/", False, "refused", None), "service": "billing"}
    report, _frozen = drafted(
        incident,
        EvidenceKind.LOGS,
        EvidenceKind.HEALTH,
        metrics={"failing_streak": 0, "health": "none"},
        probes={"endpoints": [other]},
    )

    assert report.root_cause.endswith("→ api-gateway CPU 102.80%, 메모리 10.23 GB 사용")
    assert report.accessrow_set.get().result == "❌ refused"


def test_restarts_of_long_ago_are_no_crash_of_today(incident):
    calm = {"restart_count": 7, "series": [{"at": NOW.isoformat(), "restart_count": 7}]}
    report, _frozen = drafted(incident, EvidenceKind.LOGS, metrics=calm)
    assert report.root_cause.startswith("api-gateway 메모리 과다 사용")

    loop = {"restart_count": 7, "series": [{"at": NOW.isoformat(), "restart_count": 3}]}
    freeze(incident, EvidenceKind.LOGS, metrics=loop)
    assert "반복 재시작 (4회)" in draft_report(incident=incident, now=after(90)).root_cause


def test_no_command_is_drafted_for_a_container_that_nobody_saw(incident):
    kinds = [kind for kind in EvidenceKind if kind is not EvidenceKind.PROBES]
    hostile = {**endpoint("http", "host", "http://127.0.0.1/$(id);x", False, "refused", None)}
    report, _frozen = drafted(incident, *kinds, probes={"endpoints": [hostile]})

    (row,) = report.emergencycommand_set.all()
    assert row.command == "curl 'http://127.0.0.1/$(id);x'"


def test_what_no_number_shows_is_not_called_measured(incident):
    report, _frozen = drafted(incident)

    assert report.codeproblem_set.get(draft_key="code:interval").provenance == Provenance.MEASURED
    assert report.codeproblem_set.get(draft_key="code:limit").provenance == Provenance.INFERRED
