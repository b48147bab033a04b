"""A report's pages: reading with sources, editing by section, a new draft by row, review, import, export."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from incidents import services
from incidents.models import Delivery, Incident, Provenance, Report, Severity, State
from incidents.reports.drafting import draft_report
from tests.dashboard import world
from tests.incidents.conftest import FINGERPRINT, NOW, after, fire
from tests.incidents.forms import form_of
from tests.incidents.measured import freeze

pytestmark = pytest.mark.django_db
#: Queries of a page at most, session and permissions included, as for every page.
QUERIES_MAX = 12
INCIDENT_QUERIES_MAX = 25


@pytest.fixture
def report(settings) -> Report:
    settings.LANGUAGE_CODE = "en"
    incident = fire().incident
    freeze(incident)
    return draft_report(incident=incident, now=after(20))


@pytest.fixture
def editor(client: Client) -> Client:
    client.force_login(world.person("erin", "editor"))
    return client


def at(report: Report, part: str = "") -> str:
    return f"/incidents/{report.incident.number}/report/{part}"


def texts(answer) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


PARTS = ("", "versions/", "print/summary/", "print/detail/", "export/summary.md", "export/detail.json")


def test_a_viewer_reads_every_part_and_changes_none(client, report):
    client.force_login(world.person("alice", "viewer"))

    for part in PARTS:
        assert client.get(at(report, part)).status_code == 200, part
    assert b'name="verb"' not in client.get(at(report)).content
    for part in ("edit/", "draft/"):
        assert client.get(at(report, part)).status_code == 403, part
    for part in ("act/", "edit/", "draft/"):
        assert client.post(at(report, part), {"verb": "sign"}).status_code == 403, part
    assert client.get("/incidents/import/").status_code == 403


def test_an_operator_does_not_edit_and_a_stranger_signs_in(client, report):
    assert client.get(at(report)).status_code == 302
    client.force_login(world.person("oscar", "operator"))

    assert client.post(at(report, "act/"), {"verb": "sign"}).status_code == 403


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("part", ["", "?kind=detail", "versions/", "draft/", "edit/"])
def test_no_page_asks_more_than_its_share_of_queries(
    editor, report, part, language, django_assert_max_num_queries
):
    with django_assert_max_num_queries(QUERIES_MAX):
        assert editor.get(at(report, part), headers={"accept-language": language}).status_code == 200


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_incident_with_everything_on_it_keeps_to_its_queries(
    editor, report, language, django_assert_max_num_queries
):
    Incident.objects.update(severity=Severity.CRITICAL)
    for cause in (FINGERPRINT, "another"):
        fire("flood", fingerprint=cause, detail={"top_template": "retry in <*>"})
    services.resolve(incident=report.incident, at=after(60), force=True)
    for message in report.incident.notifications.all():
        Delivery.objects.create(message=message, label="old", next_attempt_at=NOW)
        Delivery.objects.create(message=message, label="new", next_attempt_at=NOW, rolled_up_by=message)
    with django_assert_max_num_queries(INCIDENT_QUERIES_MAX):
        shown = editor.get(f"/incidents/{report.incident.number}/", headers={"accept-language": language})
    assert "INC-2" in shown.text, "the same message in another incident"


def test_the_page_links_each_number_to_its_evidence_and_ranks_the_causes(editor, report):
    page = editor.get(at(report)).content.decode()
    number = report.incident.number

    linked = set(re.findall(rf'href="/incidents/{number}/#evidence-(\d+)"', page))
    assert linked
    incident_page = editor.get(f"/incidents/{number}/").content.decode()
    assert all(f'id="evidence-{pk}"' in incident_page for pk in linked)
    kinds = re.findall(r'name="cause" value="(\w+)"', page)
    assert kinds[0] == "retry"
    assert "proxy" in kinds


def test_one_click_makes_a_candidate_the_root_cause(editor, report):
    given = {"verb": "cause", "cause": "proxy", "seen": report.revision}
    editor.post(at(report, "act/"), given)
    report.refresh_from_db()
    assert "proxy" in report.root_cause.lower()

    editor.post(at(report, "act/"), {**given, "cause": "cpu"})
    again = Report.objects.get(pk=report.pk)
    assert again.root_cause == report.root_cause, "somebody chose it from a page that was out of date"
    for wrong in ({"verb": "cause", "cause": "moon"}, {"verb": "x"}, {"verb": "cause", "cause": "cpu"}):
        assert editor.post(at(report, "act/"), wrong).status_code == 302
    assert Report.objects.get(pk=report.pk).root_cause == report.root_cause


def test_a_section_is_edited_in_place_and_becomes_the_person_s(editor, report):
    data, _buttons = form_of(editor.get(at(report, "edit/")).content.decode(), "form_status")
    data["status-0-cpu"] = ["about 100 %"]
    data["status-1-DELETE"] = ["on"]
    new = int(data["status-TOTAL_FORMS"][0]) - 1
    data[f"status-{new}-service"] = ["billing"]

    assert editor.post(at(report, "edit/"), data).status_code == 302

    rows = list(report.statusrow_set.values_list("service", "cpu", "provenance"))
    assert rows[0] == ("api-gateway", "about 100 %", Provenance.PERSON)
    assert "frontend" not in [row[0] for row in rows]
    assert rows[-1] == ("billing", "", Provenance.PERSON)
    assert rows[1][2] == Provenance.MEASURED, "what was not touched keeps its origin"
    newest = report.versions.first()
    assert (newest.kind, str(newest.actor)) == ("edited", "erin")


def test_text_written_on_an_old_page_is_neither_saved_over_nor_lost(editor, report):
    data, _buttons = form_of(editor.get(at(report, "edit/")).content.decode(), "form_causes")
    mine = {**data, "causes-0-text": ["Mine"]}
    assert editor.post(at(report, "edit/"), {**data, "causes-0-text": ["Theirs"]}).status_code == 302

    answer = editor.post(at(report, "edit/"), mine)

    assert answer.status_code == 409
    assert report.causerow_set.all()[0].text == "Theirs"
    shown, _buttons = form_of(answer.content.decode(), "form_causes")
    assert shown["causes-0-text"] == ["Mine"]
    assert editor.post(at(report, "edit/"), shown).status_code == 302
    assert report.causerow_set.all()[0].text == "Mine"


def test_a_row_without_its_text_is_refused_and_shown_again(editor, report):
    data, _buttons = form_of(editor.get(at(report, "edit/")).content.decode(), "form_causes")

    answer = editor.post(at(report, "edit/"), {**data, "causes-0-text": [""], "causes-1-text": ["Kept"]})

    assert answer.status_code == 422
    assert "Kept" in answer.content.decode()
    assert report.versions.count() == 1


def test_a_row_of_another_report_cannot_be_reached(editor, report):
    other = fire(fingerprint="service:docker:other", service="other").incident
    freeze(other)
    theirs = draft_report(incident=other, now=after(20)).causerow_set.all()[0]
    data, _buttons = form_of(editor.get(at(report, "edit/")).content.decode(), "form_causes")

    editor.post(at(report, "edit/"), {**data, "causes-0-id": [theirs.pk], "causes-0-text": ["x"]})

    theirs.refresh_from_db()
    assert theirs.text != "x"


def test_the_root_cause_is_edited(editor, report):
    data, _buttons = form_of(editor.get(at(report, "edit/")).content.decode(), "form_head")

    editor.post(at(report, "edit/"), {**data, "head-root_cause": ["The breaker was off"]})

    report.refresh_from_db()
    assert (report.root_cause, report.root_cause_provenance) == ("The breaker was off", Provenance.PERSON)


def test_a_new_draft_is_taken_over_by_the_rows_that_stay_ticked(editor, report):
    freeze(report.incident, metrics={"cpu_percent": 55.5, "log_lines_per_s": 10.0})
    data, _buttons = form_of(editor.get(at(report, "draft/")).content.decode(), "draft_form")
    assert len(data["row"]) > 2

    assert editor.post(at(report, "draft/"), {**data, "row": data["row"][:1]}).status_code == 302

    assert "55.50%" in Report.objects.get(pk=report.pk).root_cause
    assert report.statusrow_set.all()[0].cpu == "**102.80%**"
    assert editor.post(at(report, "draft/"), data).status_code == 409, "its first row is taken already"
    assert report.statusrow_set.all()[0].cpu == "**102.80%**"


def test_two_versions_are_compared(editor, report):
    data, _buttons = form_of(editor.get(at(report, "edit/")).content.decode(), "form_causes")
    editor.post(at(report, "edit/"), {**data, "causes-0-text": ["Mine <b>"]})

    page = texts(editor.get(at(report, "versions/?a=1&b=2")))

    assert "<ins>Mine &lt;b&gt;</ins>" in page
    assert editor.get(at(report, "versions/?a=99&b=x")).status_code == 200


def test_a_signed_report_is_locked_on_every_page_until_reopened(editor, report, client):
    incident = report.incident
    assert b'value="sign"' not in editor.get(at(report)).content
    services.resolve(incident=incident, at=after(100), force=True)
    given = {"verb": "sign", "seen": report.revision, "reason": "checked"}

    editor.post(at(report, "act/"), given)

    assert Incident.objects.get(pk=incident.pk).state == State.REVIEWED
    assert editor.get(at(report, "edit/")).status_code == 302
    assert b'value="cause"' not in editor.get(at(report)).content
    editor.post(at(report, "act/"), {"verb": "reopen", "reason": ""})
    assert Report.objects.get(pk=report.pk).locked
    editor.post(at(report, "act/"), {"verb": "reopen", "reason": "typo"})
    assert not Report.objects.get(pk=report.pk).locked


@pytest.mark.parametrize("kind", ["summary", "detail"])
def test_a_file_has_its_stable_name(editor, report, kind):
    Incident.objects.update(slug="infrastructure-down")
    part = {"summary": "summary", "detail": "root_cause"}[kind]

    for fmt in ("md", "html", "json"):
        answer = editor.get(at(report, f"export/{kind}.{fmt}"))
        assert f'filename="infrastructure_down_{part}_20261123.{fmt}"' in answer["Content-Disposition"]
    assert editor.get(at(report, "export/summary.exe")).status_code == 404
    assert editor.get(at(report, "export/moon.md")).status_code == 404


def test_a_report_is_imported_from_a_file_and_its_findings_have_lines(editor, seed_report: Path, settings):
    settings.LANGUAGE_CODE = "en"
    text = seed_report.read_text(encoding="utf-8") + "\n## Something else\n\nkept <b>words</b>\n"
    file = SimpleUploadedFile("infrastructure_down_summary_20260206.md", text.encode())

    answer = editor.post("/incidents/import/", {"file": file})

    page = texts(answer)
    line = text[: text.index("## Something else")].count("\n") + 1
    assert f'<td class="p-right p-num">{line}</td>' in page
    assert "## Something else" in page
    number = Incident.objects.get().number
    assert f'href="/incidents/{number}/report/"' in page
    assert "kept &lt;b&gt;words" in editor.get(f"/incidents/{number}/report/").content.decode()


def test_a_refused_import_keeps_what_was_pasted(editor):
    answer = editor.post("/incidents/import/", {"text": "just words"})

    assert answer.status_code == 422
    assert ">just words</textarea>" in answer.content.decode()
    assert not Incident.objects.exists()
    assert editor.post("/incidents/import/", {"text": ""}).status_code == 422
