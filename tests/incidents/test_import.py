"""The seed report into rows and out again, and files that are no report."""

from __future__ import annotations

import io
import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.core.serializers import serialize

from incidents.models import Incident, ItemState, Priority, Provenance, Report, State
from incidents.reports import importing
from tests.incidents.conftest import FINGERPRINT, NOW, fire

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english")]

SEED_AT = datetime(2026, 2, 6, 0, 15, tzinfo=UTC)


def load(path: Path) -> tuple[str, str]:
    """Import a file; returns what the command printed and what it warned about."""
    out, err = io.StringIO(), io.StringIO()
    call_command("import_report", str(path), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def export(number: int = 1, **options: str) -> str:
    out = io.StringIO()
    call_command("export_report", str(number), stdout=out, **options)
    return out.getvalue()


def stored() -> str:
    """Every row of incidents, history and timeline included."""
    models = apps.get_app_config("incidents").get_models()
    return "\n".join(serialize("json", model._default_manager.order_by("pk")) for model in models)


@pytest.fixture
def seed(seed_report):
    """The seed's report after its import into an empty database."""
    load(seed_report)
    return Report.objects.get()


def values(rows, *names):
    return [tuple(getattr(row, name) for name in names) for row in rows.all()]


def test_the_seed_becomes_incident_one_of_its_service_and_time(seed):
    incident = seed.incident

    assert (incident.number, incident.title, incident.state) == (1, "Infrastructure Down", State.RESOLVED)
    assert incident.services == ["api-gateway"]
    assert (incident.opened_at, seed.analysed_at, seed.language) == (SEED_AT, SEED_AT, "ko")
    assert not incident.notifications.exists()


def test_the_seed_gives_its_root_cause_status_and_problems(seed):
    assert seed.root_cause == (
        "WebSocket 연결 무한 재시도 루프 → API Gateway CPU 102%, 메모리 10GB 사용 → 서비스 응답 불가"
    )
    assert values(seed.statusrow_set, "service", "state", "cpu", "memory") == [
        ("api-gateway", "🔴 **CRITICAL**", "**102.80%**", "**10.23 GB**"),
        ("frontend", "🟢 Healthy", "3.83%", "257 MB"),
        ("기타 서비스", "🟢 Healthy", "<1%", "<100 MB"),
    ]
    loop, health, access = seed.problemdetail_set.all()
    assert (loop.title, loop.kind) == ("WebSocket 연결 실패 무한 루프", "text")
    assert loop.body.startswith(
        "```\nWebSocket connection timeout\nReconnection failed after 5 attempts\n"
        "... (22만 개 이상의 로그)\n```\n\n- **대상:** `wss://api.kiwoom.com:10000/api/dostk/websocket`"
    )
    assert health.body == '```json\n{\n  "Status": "unhealthy",\n  "FailingStreak": 397\n}\n```'
    assert (access.title, access.kind) == ("외부 접속 결과", "access")
    assert values(seed.accessrow_set, "path", "result") == [
        ("`localhost:5111/health`", "✅ 정상"),
        ("`112.219.120.75:5111/health`", "✅ 정상"),
        ("`https://stock.ralphpark.com/api/*`", "❌ 타임아웃 (>15s)"),
        ("`wss://stock.ralphpark.com/ws`", "❌ 502 Bad Gateway"),
    ]


def test_the_seed_gives_its_causes(seed):
    assert values(seed.causerow_set, "kind", "text") == [
        ("direct", "Kiwoom WebSocket 연결 실패"),
        ("direct", "무한 재시도 로직 (지수 백오프 없음)"),
        ("direct", "로그 폭주 (22만 개)"),
        ("secondary", "CPU 고갈로 다른 요청 처리 불가"),
        ("secondary", "메모리 과다 사용 (10GB)"),
        ("secondary", "Healthcheck 타임아웃"),
    ]
    assert values(seed.codeproblem_set, "problem", "current", "right") == [
        ("재시도 간격", "0초", "1s → 2s → 4s → ..."),
        ("최대 재시도", "무한", "제한 필요 (예: 100회)"),
        ("로깅", "매번", "주기적 요약"),
    ]


def test_the_seed_gives_its_remedies_and_files(seed):
    assert values(seed.emergencycommand_set, "comment", "command") == [
        ("API Gateway 재시작", "docker restart api-gateway"),
        ("로그 확인", "docker logs -f api-gateway --tail 100"),
        ("상태 확인", "curl http://localhost:5111/health"),
    ]
    client = "`src/websocket/client.py`"
    assert values(seed.fixrow_set, "file", "change", "priority") == [
        (client, "지수 백오프 추가", "P0"),
        (client, "최대 재시도 제한", "P0"),
        (client, "로그 레벨 조정", "P1"),
    ]
    proxy = seed.proxychange_set.get().body
    assert proxy.startswith("```nginx\n# /ws 경로\nlocation /ws {\n")
    assert proxy.endswith("# 현재: Connection $http_connection  # 문제 발생 가능\n```")
    assert values(seed.longtermitem_set, "text") == [
        ("서킷 브레이커 패턴 도입",),
        ("리소스 제한 설정 (CPU 1코어, 메모리 2GB)",),
        ("로그 관리 정책 (max-size: 10m, max-file: 3)",),
        ("모니터링 알림 강화",),
    ]
    assert values(seed.reportfile_set, "label", "path", "note") == [
        ("상세 보고서", "docs/report/infrastructure_down_root_cause_20260206.md", ""),
        ("요약 보고서", "docs/report/infrastructure_down_summary_20260206.md", "이 파일"),
    ]
    assert not seed.extrasection_set.exists()


def test_the_seed_gives_six_open_measures_with_priority_due_date_and_verifier(seed):
    items = list(seed.checklist.all())

    assert [(item.text, item.priority) for item in items] == [
        ("WebSocket 재시도 로직에 지수 백오프 추가", Priority.P0),
        ("최대 재시도 횟수 제한 설정", Priority.P0),
        ("로그 레벨 조정 (INFO → WARNING for retries)", Priority.P1),
        ("Docker 리소스 제한 설정", Priority.P1),
        ("Nginx Connection 헤더 수정", Priority.P1),
        ("CPU/메모리 모니터링 알림 설정", Priority.P1),
    ]
    assert {item.state for item in items} == {ItemState.OPEN}
    assert all(item.due is not None and item.due > date(2026, 2, 6) for item in items)
    assert (items[3].verifier, items[3].target) == ("docker.limits", "api-gateway")


def test_the_exported_seed_is_the_seed_byte_for_byte(seed, seed_report):
    assert export(lang="ko") == seed_report.read_text(encoding="utf-8")


def test_importing_the_export_changes_no_row_of_the_database(seed, tmp_path):
    before, text = stored(), export(lang="ko")
    copy = tmp_path / "copy.md"
    copy.write_text(text, encoding="utf-8")

    out, err = load(copy)

    assert stored() == before
    assert export(lang="ko") == text
    assert (out, err) == (f"{copy}: unchanged: INC-1 Infrastructure Down\n", "")


def test_importing_the_english_export_changes_no_row_either(seed, tmp_path):
    before, text = stored(), export(lang="en")
    copy = tmp_path / "copy.md"
    copy.write_text(text, encoding="utf-8")

    out, _err = load(copy)

    assert "### 3. External access" in text
    assert out == f"{copy}: unchanged: INC-1 Infrastructure Down\n"
    assert stored() == before
    assert export(lang="en") == text


def test_importing_an_edited_report_updates_its_incident_and_keeps_the_rest(seed, seed_report, tmp_path):
    kept = {row.pk for row in seed.causerow_set.all()}
    text = seed_report.read_text(encoding="utf-8")
    text = text.replace("| frontend | 🟢 Healthy | 3.83% |", "| frontend | 🟢 Healthy | 4.10% |")
    text = text.replace("- [ ] Docker 리소스", "- [x] Docker 리소스")
    edited = tmp_path / "edited.md"
    edited.write_text(text, encoding="utf-8")

    out, _err = load(edited)

    assert out == f"{edited}: updated INC-1 Infrastructure Down\n"
    assert (Incident.objects.count(), Report.objects.count()) == (1, 1)
    row = seed.statusrow_set.all()[1]
    assert (row.cpu, row.provenance, row.history.count()) == ("4.10%", Provenance.PERSON, 2)
    assert {row.pk for row in seed.causerow_set.all()} == kept
    claimed = seed.checklist.get(text__startswith="Docker")
    assert (claimed.state, seed.checklist.count()) == (ItemState.CLAIMED, 6)
    assert export(lang="ko") == text


def test_another_time_of_analysis_is_another_incident(seed, seed_report, tmp_path):
    later = tmp_path / "later.md"
    later.write_text(seed_report.read_text(encoding="utf-8").replace("09:15", "10:15"), encoding="utf-8")

    assert "imported as INC-2" in load(later)[0]


def test_an_import_takes_the_number_after_the_incidents_that_are_there(seed_report):
    fire()
    load(seed_report)

    assert Incident.objects.get(number=2).title == "Infrastructure Down"
    assert Incident.objects.get(number=1).fingerprint == FINGERPRINT


REFUSED = {
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not text", "Markdown"),
    "another encoding": ("# 장애\n\n## 현재 상태\n".encode("euc-kr"), "is not UTF-8 (line 1)", "Save it as"),
    "nothing": (b" \n\n", "is empty", "Markdown"),
    "plain text": (b"hello\nworld\n", "no section of a report", "export_report"),
    "JSON": (b'{"a": 1}', "no section of a report", "export_report"),
    "a torn table": (b"| a | b\n|--\n| c", "no section of a report", "export_report"),
    "an open code block": (b"```\n## not a section\n", "no section of a report", "export_report"),
    "another document": (b"# Notes\n\n## Shopping\n\n- milk\n", "no section of a report", "export_report"),
}


@pytest.mark.parametrize(("content", "wrong", "advice"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_report_is_refused_in_one_line_that_says_what_to_do(tmp_path, content, wrong, advice):
    path, before = tmp_path / "given.md", stored()
    path.write_bytes(content)

    with pytest.raises(CommandError) as refused:
        load(path)

    text = str(refused.value)
    assert "\n" not in text
    assert text.startswith(f"{path} ")
    assert wrong in text
    assert advice in text
    assert stored() == before


@pytest.mark.parametrize("name", ["missing.md", ""], ids=["missing", "folder"])
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, name):
    with pytest.raises(CommandError, match=r"cannot be read: .+\. Give the path of") as refused:
        load(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_a_file_of_50_mb_is_refused_without_being_read(tmp_path):
    path, before = tmp_path / "huge.md", stored()
    with path.open("wb") as file:
        for _block in range(50):
            file.write(b"## checklist\n\n- [ ] x\n\n".ljust(2**20, b"."))
    tracemalloc.start()
    try:
        with pytest.raises(CommandError, match=r"larger than 2 MiB\. Give"):
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 3 * importing.MAX_BYTES
    assert stored() == before


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_report_of_more_lines_than_a_report_has_is_refused_before_a_row_is_written(tmp_path, end):
    path, before = tmp_path / "log.md", stored()
    text = "# t\n\n## Direct causes\n\n" + "- a\n" * importing.MAX_LINES
    path.write_text(text.replace("\n", end), newline="")

    with pytest.raises(CommandError, match=r"more than 10000 lines\. Give"):
        load(path)
    assert stored() == before


def test_broken_parts_of_a_report_are_kept_and_each_named_with_its_line(tmp_path):
    path = tmp_path / "torn.md"
    path.write_text(
        "# 장애\n\n## 📊 현재 상태\n\n| 서비스 | 상태\n|---\n| a\n\n## 🐛 문제 상세\n\n### 1. b\n\n```\nlog\n"
    )

    out, err = load(path)

    assert "imported as INC-1" in out
    assert [line.removeprefix(f"{path}:").split(": ")[0] for line in err.splitlines()] == ["5", "13"]
    assert "| 서비스 | 상태" in export(lang="ko")


def test_exporting_what_is_not_there_is_one_line():
    with pytest.raises(CommandError, match=r"^There is no INC-7\.$"):
        export(7)
    fire()
    with pytest.raises(CommandError, match=r"^INC-1 has no report yet\.$"):
        export(1)


def test_a_report_of_the_same_minute_and_title_is_the_same_report(seed, seed_report):
    text = seed_report.read_text(encoding="utf-8")
    done = importing.import_text(text=text, name="elsewhere.md", now=NOW)

    assert (done.incident, done.created) == (seed.incident, False)


@pytest.mark.parametrize("time", ["0001-01-01 00:00 (KST)", "9999-12-31 23:59 (UTC)"])
def test_a_time_that_no_database_can_hold_is_kept_as_text(seed_report, tmp_path, time):
    path = tmp_path / "report.md"
    text = seed_report.read_text()
    path.write_text(text.replace("2026-02-06 09:15 (KST)", time))
    _out, warned = load(path)

    assert "3:" in warned or "line 3" in warned
    assert time in export()
