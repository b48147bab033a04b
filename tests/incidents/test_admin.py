"""The admin of incidents, reports and checklists: who may, what is saved, and what history tells."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.db.models.signals import pre_save
from django.urls import reverse
from django.utils import timezone

from incidents import evidence
from incidents.models import (
    AuditEntry,
    ChecklistItem,
    DeliveryState,
    Evidence,
    Incident,
    ItemPack,
    ItemState,
    Notification,
    Provenance,
    Severity,
    State,
    TimelineKind,
)
from incidents.reports.drafting import draft_report
from tests.incidents.admin_pages import drafted_incident, pages, path, rows, said, signed_in, submit
from tests.incidents.conftest import after
from tests.incidents.forms import form_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english")]


@pytest.fixture
def incident():
    return drafted_incident()


@pytest.fixture
def person(client):
    return partial(signed_in, client)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_page_opens_in_both_languages(incident, admin_client, language):
    for url in pages(incident):
        assert admin_client.get(url, headers={"accept-language": language}).status_code == 200, url


def test_a_viewer_sees_every_page_and_changes_nothing(incident, client, person):
    person("viewer")
    for url in pages(incident):
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert b'name="_save"' not in answer.content, url
    for model, row in rows(incident).items():
        assert client.post(path(model, row.pk), {"title": "x", "text": "x"}).status_code == 403
        assert client.post(path(model, row.pk, "delete"), {"post": "yes"}).status_code == 403


def test_staff_without_a_role_see_nothing(incident, client, person):
    person(None)
    assert {client.get(url).status_code for url in pages(incident)} == {403}


@pytest.mark.parametrize(
    ("role", "model", "allowed"),
    [
        ("operator", "incident", True),
        ("operator", "checklistitem", True),
        ("operator", "report", False),
        ("editor", "incident", True),
        ("editor", "checklistitem", True),
        ("editor", "report", True),
        ("admin", "report", True),
    ],
)
def test_a_role_edits_what_it_is_for(incident, client, person, role, model, allowed):
    person(role)
    row = rows(incident)[model]
    if allowed:
        assert submit(client, model, row).status_code == 200
        assert LogEntry.objects.filter(object_id=str(row.pk)).exists()
    else:
        assert client.post(path(model, row.pk), {}).status_code == 403


def test_saving_a_report_unchanged_changes_no_row(incident, client, person):
    person("editor")
    report = incident.report
    before = [list(report.statusrow_set.values()), list(report.checklist.values()), report.root_cause]
    histories = report.statusrow_set.all()[0].history.count()

    assert submit(client, "report", report).status_code == 200

    report.refresh_from_db()
    assert [list(report.statusrow_set.values()), list(report.checklist.values()), report.root_cause] == before
    assert report.statusrow_set.all()[0].history.count() == histories
    assert report.root_cause_provenance == Provenance.INFERRED


def test_what_an_editor_writes_is_that_person_s_and_in_the_history(incident, client, person):
    editor = person("editor")
    report = incident.report
    submit(
        client,
        "report",
        report,
        root_cause="키움 서버 점검",
        **{"statusrow_set-0-cpu": "103%", "checklist-1-due": "2026-12-01"},
    )

    report.refresh_from_db()
    assert (report.root_cause, report.root_cause_provenance) == ("키움 서버 점검", Provenance.PERSON)
    first, second = report.statusrow_set.all()[:2]
    assert (first.cpu, first.provenance, second.provenance) == ("103%", "person", "measured")
    assert report.checklist.all()[1].due == date(2026, 12, 1)
    assert (report.history.first().history_user, first.history.first().history_user) == (editor, editor)
    assert first.history.last().cpu == "**102.80%**"
    draft_report(incident=incident, now=after(90))
    report.refresh_from_db()
    assert (report.root_cause, report.statusrow_set.all()[0].cpu) == ("키움 서버 점검", "103%")


def test_an_editor_adds_a_measure_to_the_report_with_a_due_date(incident, client, person):
    person("editor")
    report = incident.report
    count = report.checklist.count()
    answer = client.get(path("report", report.pk))
    data, _buttons = form_of(answer.content.decode(), "report_form")
    new = {"id": "", "report": report.pk, "text": "키움 공지 구독", "priority": "P2", "owner": "", "due": ""}
    sent = {**data, **{f"checklist-{count}-{name}": value for name, value in {**new, "order": 9}.items()}}
    client.post(path("report", report.pk), {**sent, "checklist-TOTAL_FORMS": count + 1, "_save": "1"})

    added = report.checklist.get(text="키움 공지 구독")
    assert (added.priority, added.state, added.due) == ("P2", ItemState.OPEN, date(2026, 12, 23))


def test_an_operator_moves_an_incident_and_the_timeline_names_who(incident, client, person):
    operator = person("operator")
    submit(client, "incident", incident, "incidents_incident_acknowledge", severity="critical")

    incident.refresh_from_db()
    assert (incident.state, incident.severity) == (State.ACKNOWLEDGED, Severity.CRITICAL)
    assert incident.timeline.filter(kind=TimelineKind.STATE).last().actor == operator
    answer = submit(client, "incident", incident, "incidents_incident_resolve")
    assert said(answer)[0] == "1 alerts are still open."
    incident.refresh_from_db()
    assert incident.state == State.ACKNOWLEDGED
    data, buttons = form_of(answer.content.decode(), "incident_form")
    assert "incidents_incident_acknowledge" not in buttons
    assert {"state", "fingerprint", "number"}.isdisjoint(data)


def test_saving_writes_only_what_changed_and_not_over_a_worker(incident, client, person):
    person("operator")

    def worker(**_signal):
        Incident.objects.filter(pk=incident.pk).update(state=State.MITIGATED, mitigated_at=timezone.now())

    pre_save.connect(worker, sender=Incident)
    try:
        submit(client, "incident", incident, title="새 제목")
    finally:
        pre_save.disconnect(worker, sender=Incident)

    incident.refresh_from_db()
    assert (incident.title, incident.state) == ("새 제목", State.MITIGATED)


def test_an_operator_claims_waives_and_takes_back_a_measure(incident, client, person):
    operator = person("operator")
    item = incident.report.checklist.all()[0]
    states = []
    tomorrow = (timezone.localdate() + timedelta(days=1)).isoformat()
    ChecklistItem.objects.filter(pk=item.pk).update(owner=operator)
    for button, changes in (
        ("claim", {"due": "2026-12-01"}),
        ("take_back", {}),
        ("waive", {}),
        ("waive", {"waiver_reason": "교체 예정", "waived_until": tomorrow}),
    ):
        submit(client, "checklistitem", item, f"incidents_checklistitem_{button}", **changes)
        item.refresh_from_db()
        states.append(item.state)

    assert states == ["claimed", "open", "open", "waived"]
    assert (item.owner, item.due) == (operator, date(2026, 12, 1))
    assert (item.waived_by, item.waiver_reason) == (operator, "교체 예정")
    assert item.history.filter(history_user=operator).count() >= 3
    moves = incident.timeline.filter(kind=TimelineKind.CHECKLIST)
    assert [row.actor for row in moves] == [operator] * 3


def test_a_waiver_is_extended_by_a_person_with_a_reason_and_in_the_audit(incident, client, person):
    item = incident.report.checklist.all()[0]
    today = timezone.localdate()
    ChecklistItem.objects.filter(pk=item.pk).update(
        state=ItemState.WAIVED, waiver_reason="교체 예정", waived_until=today
    )
    operator, day = person("operator"), today + timedelta(days=9)
    for reason, until in (("", day), ("부품 지연", today), ("부품 지연", day)):
        item.refresh_from_db()
        before = (item.waiver_reason, item.waived_until)
        assert before == ("교체 예정", today), "a refused waiver changes nothing"
        submit(client, "checklistitem", item, waiver_reason=reason, waived_until=until.isoformat())

    item.refresh_from_db()
    assert (item.state, item.waived_by, item.waived_until) == (ItemState.WAIVED, operator, day)
    entry = AuditEntry.objects.get(action="item.waive")
    assert entry.after is not None
    assert (entry.reason, entry.actor, entry.after["until"]) == ("부품 지연", operator, day.isoformat())


def test_the_start_of_the_impact_is_for_editors_and_a_closed_incident_stays(incident, client, person):
    sent = {"title": incident.title, "severity": incident.severity, "lead": "", "resolve_after_s": 20}
    sent |= {"impact_started_at_0": "2026-11-01", "impact_started_at_1": "00:00:00", "_continue": "1"}
    sent |= {"signals-TOTAL_FORMS": 0, "signals-INITIAL_FORMS": 0}
    began = incident.impact_started_at
    person("operator")
    client.post(path("incident", incident.pk), sent)
    incident.refresh_from_db()
    assert incident.impact_started_at == began

    now = timezone.now()
    Incident.objects.filter(pk=incident.pk).update(state=State.CLOSED, resolved_at=now, closed_at=now)
    editor = User.objects.create_user("edith", is_staff=True)
    editor.groups.add(Group.objects.get(name="editor"))
    client.force_login(editor)
    client.post(path("incident", incident.pk), sent | {"title": "rewritten"})
    incident.refresh_from_db()
    assert (incident.impact_started_at, incident.title == "rewritten") == (began, False)


def test_what_a_measure_is_and_how_it_is_verified_is_for_editors(incident, client, person):
    item = ChecklistItem.objects.filter(verifier="docker.limits")[0]
    ChecklistItem.objects.filter(pk=item.pk).update(state=ItemState.VERIFIED)
    wanted = {"priority": "P3", "text": "x", "parameters.docker.limits.memory": "64g"}
    sent = {"due": "", "runs-TOTAL_FORMS": 0, "runs-INITIAL_FORMS": 0, **wanted, "_continue": "1"}
    person("operator")
    client.post(path("checklistitem", item.pk), sent)
    item.refresh_from_db()
    assert (item.priority == "P3", item.text == "x", item.parameters.get("memory")) == (False, False, "2g")

    person("editor")
    submit(client, "checklistitem", item, **wanted)
    item.refresh_from_db()
    assert (item.priority, item.text, item.parameters) == ("P3", "x", {"cpus": 1.0, "memory": "64g"})
    assert item.state == ItemState.OPEN, "it was verified with other parameters"


def test_a_pack_is_written_in_the_admin_with_its_measures(incident, client, person):
    pack = ItemPack.objects.get()
    person("operator")
    assert client.post(path("itempack", pack.pk), {"name": "x"}).status_code == 403
    person("editor")
    submit(client, "itempack", pack, **{"items-3-parameters.docker.limits.cpus": "4"})
    limits = pack.items.get(verifier="docker.limits")
    assert limits.parameters == {"cpus": 4.0, "memory": "2g"}
    assert pack.items.get(verifier="alert.armed").parameters["kinds"] == [
        *("cpu", "memory_limit", "memory_no_limit")
    ]


def test_verify_now_asks_a_worker_by_id(incident, client, person, redis_client):
    person("operator")
    item = ChecklistItem.objects.exclude(verifier="")[0]
    answer = submit(client, "checklistitem", item, "incidents_checklistitem_verify")

    assert said(answer)[0] == "A worker verifies now; reload in a few seconds."
    assert redis_client.llen("ops") == 1
    assert not item.runs.exists()


def test_the_list_of_measures_claims_the_selected_ones(incident, client, person):
    person("operator")
    items = list(incident.report.checklist.values_list("pk", flat=True)[:2])
    client.post(path("checklistitem"), {"action": "claim_selected", "_selected_action": items})

    assert ChecklistItem.objects.filter(state=ItemState.CLAIMED).count() == 2


@pytest.mark.parametrize("model", ["evidence", "timelineevent", "notification"])
def test_records_are_read_only_to_everybody(incident, admin_client, model):
    row = rows(incident)[model]
    before = list(type(row).objects.values())

    assert admin_client.post(path(model, row.pk), {"subject": "x", "text": "x"}).status_code == 403
    assert admin_client.post(path(model, row.pk, "delete"), {"post": "yes"}).status_code == 403
    assert admin_client.get(reverse(f"admin:incidents_{model}_add")).status_code == 403
    assert list(type(row).objects.values()) == before


def test_evidence_is_downloaded_by_editors_and_only_while_it_matches_its_checksum(incident, client, person):
    frozen = incident.evidence.get(kind="logs")
    url = reverse("admin:incidents_evidence_download", args=[frozen.pk])
    person("viewer")
    assert client.get(url).status_code == 403
    editor = person("editor")
    assert client.get(url).content == evidence.raw_bytes(frozen)
    (taken,) = AuditEntry.objects.filter(action="evidence.download")
    assert (taken.actor, taken.target) == (editor, f"INC-{incident.number}")
    assert incident.timeline.filter(kind=TimelineKind.DOWNLOAD).count() == 1

    Evidence.objects.filter(pk=frozen.pk).update(sha256="0" * 64)
    assert said(client.get(url, follow=True)) == [f"Evidence E{frozen.pk} does not match its checksum"]
    assert b"does not match its checksum" in client.get(path("evidence", frozen.pk)).content


def test_a_message_without_a_channel_is_sent_again_by_an_operator_only(incident, client, person):
    message = Notification.objects.get()
    Notification.objects.update(state=DeliveryState.NO_CHANNEL)
    asked = {"action": "send_again", "_selected_action": [message.pk]}
    for role, expected in (("viewer", DeliveryState.NO_CHANNEL), ("operator", DeliveryState.PENDING)):
        person(role)
        client.post(path("notification"), asked)
        message.refresh_from_db()
        assert message.state == expected


def test_a_severity_changed_in_the_form_is_on_the_timeline_and_audited(incident, client, person):
    operator = person("operator")
    submit(client, "incident", incident, "_save", severity="critical")

    incident.refresh_from_db()
    assert incident.severity == Severity.CRITICAL
    assert incident.timeline.filter(kind=TimelineKind.STATE).last().actor == operator
    entry = AuditEntry.objects.get(action="incident.severity")
    assert entry.actor_name == operator.username
