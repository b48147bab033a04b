"""Every save of a report is a version; a sign-off locks it; a new draft is taken over row by row."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User

from incidents import services
from incidents.errors import ReportChanged, ReportLocked, ReviewRefused
from incidents.models import AuditEntry, Provenance, Report, State, TimelineKind, VersionKind
from incidents.reports import renewal, review, serial, store, versions
from incidents.reports.candidates import Kind
from incidents.reports.differences import Kind as Change
from incidents.reports.differences import compare
from incidents.reports.drafting import draft_report
from incidents.reports.export import document_for
from incidents.reports.importing import ImportRefused, import_text
from incidents.reports.markdown import parse
from tests.incidents.conftest import after, fire
from tests.incidents.forms import form_of
from tests.incidents.measured import freeze

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english")]


def person(name):
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name="editor"))
    return user


@pytest.fixture
def alice():
    return person("alice")


@pytest.fixture
def bob():
    return person("bob")


@pytest.fixture
def report():
    incident = fire().incident
    freeze(incident)
    return draft_report(incident=incident, now=after(20))


def rewrite(report, actor, text="The breaker was off", at=30, **given):
    """Write the first cause by hand."""
    with versions.edit(report, kind=VersionKind.EDITED, at=after(at), actor=actor, **given) as held:
        cause = held.causerow_set.all()[0]
        cause.text, cause.provenance = text, Provenance.PERSON
        cause.save()


def saved_as(entry: AuditEntry) -> tuple[list[str], int]:
    """The sections and the version that an entry of the audit names."""
    after = entry.after or {}
    return after["sections"], after["version"]


def resolved(report, lead=None, severity="critical"):
    incident = report.incident
    incident.lead, incident.severity = lead, severity
    incident.save()
    services.resolve(incident=incident, at=after(100), force=True)
    report.refresh_from_db()
    return report


def test_each_save_is_a_version_with_who_and_when_and_nothing_changed_is_none(report, alice):
    rewrite(report, alice)
    rewrite(report, alice, at=40)

    kept = list(report.versions.values_list("number", "kind", "actor__username", "at"))
    assert kept == [(2, "edited", "alice", after(30)), (1, "drafted", None, after(20))]
    new, old = (serial.load(one.document) for one in report.versions.all())
    assert new == store.load(report)
    (change,) = compare(old, new)
    assert (change.section, change.kind) == ("causes", Change.CHANGED)
    assert change.cells() == [("text", old.causes[0].text, "The breaker was off")]


def test_a_document_survives_its_version_unchanged(report, seed_report):
    for document in (store.load(report), parse(seed_report.read_text(encoding="utf-8")).document):
        again = serial.load(serial.dump(document))
        assert again == document
        assert [row.key for row in again.status] == [row.key for row in document.status]
        assert serial.dump(again) == serial.dump(document)


def test_the_oldest_versions_go_and_signed_ones_stay(report, alice, monkeypatch):
    monkeypatch.setattr(versions, "KEPT", 3)
    resolved(report)
    review.sign_off(report=report, actor=alice, at=after(200))
    review.reopen(report=report, actor=alice, at=after(201), reason="typo")
    for number in range(5):
        rewrite(report, alice, text=f"cause {number}", at=300 + number)

    assert list(report.versions.values_list("number", flat=True)) == [8, 7, 6, 2]


def test_an_edit_of_an_older_version_than_the_newest_is_refused_and_changes_nothing(report, alice, bob):
    seen = report.revision
    rewrite(report, alice, seen=seen)

    with pytest.raises(ReportChanged, match="Version 2"):
        rewrite(report, bob, text="Bob's", seen=seen)
    assert report.causerow_set.all()[0].text == "The breaker was off"


def test_a_signed_report_refuses_every_edit_until_it_is_reopened_with_a_reason(report, alice):
    resolved(report)
    text = export(report)
    review.sign_off(report=report, actor=alice, at=after(200), note="ok")
    report.refresh_from_db()

    assert report.incident.state == State.REVIEWED
    assert (report.signed_by, report.signed_at) == (alice, after(200))
    for call in (
        lambda: rewrite(report, alice),
        lambda: renewal.accept(report=report, tokens=[], actor=alice, at=after(201)),
        lambda: renewal.take_cause(report=report, kind=Kind.CPU, actor=alice, at=after(201)),
        lambda: renewal.add_fixes(report=report, kind=Kind.CPU, actor=alice, at=after(201)),
        lambda: review.sign_off(report=report, actor=alice, at=after(201)),
    ):
        with pytest.raises(ReportLocked):
            call()
    with pytest.raises(ImportRefused, match="signed off"):
        import_text(text=text.replace("Retry limit", "Try limit"), name="a.md", now=after(202))
    freeze(report.incident, metrics={"cpu_percent": 1.0})
    draft_report(incident=report.incident, now=after(203))
    assert report.statusrow_set.all()[0].cpu == "**102.80%**"

    with pytest.raises(ReviewRefused):
        review.reopen(report=report, actor=alice, at=after(204), reason="  ")
    review.reopen(report=report, actor=alice, at=after(205), reason="a number is wrong")
    report.refresh_from_db()
    report.incident.refresh_from_db()
    assert (report.locked, report.incident.state) == (False, State.RESOLVED)
    event = report.incident.timeline.filter(kind=TimelineKind.STATE).last()
    assert (event.data["old"], event.data["new"], event.data["reason"]) == (
        *("reviewed", "resolved"),
        "a number is wrong",
    )
    rewrite(report, alice)
    assert list(report.versions.values_list("kind", "reason"))[:3] == [
        *(("edited", ""), ("reopened", "a number is wrong"), ("signed", "ok"))
    ]


def export(report):
    from incidents import reports

    return reports.render(report.incident, "summary", "md", "en")


def test_a_critical_report_needs_somebody_else_than_the_lead(report, alice, bob):
    resolved(report, lead=alice)

    with pytest.raises(ReviewRefused, match="somebody else"):
        review.sign_off(report=report, actor=alice, at=after(200))
    assert review.sign_off(report=report, actor=bob, at=after(201)).signed_by == bob


def test_giving_the_lead_up_is_no_way_around_the_second_person(report, alice, bob):
    services.set_lead(incident=report.incident, lead=alice, at=after(30), actor=alice)
    services.set_lead(incident=report.incident, lead=None, at=after(190), actor=alice)
    resolved(report)

    with pytest.raises(ReviewRefused, match="somebody else"):
        review.review_incident(incident=report.incident, actor=alice, at=after(200))
    review.review_incident(incident=report.incident, actor=bob, at=after(201))
    report.refresh_from_db()
    assert (report.signed_by, report.incident.state) == (bob, State.REVIEWED)


def test_without_a_report_the_lead_does_not_review_a_critical_incident_either(report, alice, bob):
    resolved(report, lead=alice)
    incident = report.incident
    report.delete()

    with pytest.raises(ReviewRefused, match="somebody else"):
        review.review_incident(incident=incident, actor=alice, at=after(200))
    review.review_incident(incident=incident, actor=bob, at=after(201))
    assert incident.state == State.REVIEWED


def test_the_lead_may_sign_a_warning_but_nobody_while_it_burns(report, alice):
    with pytest.raises(ReviewRefused, match="Resolve"):
        review.sign_off(report=report, actor=alice, at=after(50))
    resolved(report, lead=alice, severity="warning")

    assert review.sign_off(report=report, actor=alice, at=after(200)).locked


def test_what_changed_after_it_was_read_is_not_signed(report, alice, bob):
    resolved(report)
    seen = report.revision
    rewrite(report, bob)

    with pytest.raises(ReportChanged):
        review.sign_off(report=report, actor=alice, at=after(200), seen=seen)


def test_only_the_chosen_rows_of_a_new_draft_are_taken(report, alice):
    freeze(report.incident, metrics={"cpu_percent": 55.5, "memory_bytes": 1024**3})
    offered = renewal.proposals(report).offered
    status = next(one for one in offered if one.section == "status")
    assert status.cells()[-2:] == [("cpu", "**102.80%**", "55.50%"), ("memory", "**10.23 GB**", "1.00 GB")]
    before = store.load(report)

    taken = renewal.accept(report=report, tokens=[status.token], actor=alice, at=after(60))

    assert taken == [status]
    now = store.load(report)
    assert [one.section for one in compare(before, now)] == ["status"]
    assert [one.token for one in renewal.proposals(report).offered] == [
        one.token for one in offered if one is not status
    ]
    newest = report.versions.first()
    assert (newest.kind, newest.actor) == (VersionKind.ACCEPTED, alice)


def test_taking_everything_gives_the_new_draft_and_leaves_a_person_s_text(report, alice):
    rewrite(report, alice)
    freeze(report.incident, metrics={"cpu_percent": 55.5}, logs={"templates": [], "lines_total": 0})
    found = renewal.proposals(report)

    assert [one.section for one in found.kept] == []
    renewal.accept(report=report, tokens=[one.token for one in found.offered], actor=alice, at=after(60))

    assert renewal.proposals(report).offered == ()
    assert report.causerow_set.filter(text="The breaker was off").exists()
    assert not report.codeproblem_set.exists()
    assert "code" in Report.objects.get(pk=report.pk).empty_sections


def test_a_person_s_row_is_shown_beside_the_draft_and_never_offered(report, alice):
    rewrite(report, alice)

    found = renewal.proposals(report)

    assert found.offered == ()
    (kept,) = found.kept
    assert kept.section == "causes"
    assert kept.cells()[0][1] == "The breaker was off"
    with pytest.raises(ReportChanged):
        renewal.accept(report=report, tokens=[kept.token], actor=alice, at=after(60))
    assert report.causerow_set.all()[0].text == "The breaker was off"


def test_a_row_that_changed_since_it_was_shown_is_refused_and_nothing_is_taken(report, alice, bob):
    freeze(report.incident, metrics={"cpu_percent": 55.5})
    tokens = [one.token for one in renewal.proposals(report).offered]
    with versions.edit(report, kind=VersionKind.EDITED, at=after(50), actor=bob) as held:
        row = held.statusrow_set.all()[0]
        row.cpu, row.provenance = "about 100 %", Provenance.PERSON
        row.save()
    before = store.load(report)

    with pytest.raises(ReportChanged, match="1 of the chosen"):
        renewal.accept(report=report, tokens=tokens, actor=alice, at=after(60))
    assert store.load(report) == before


def test_a_candidate_becomes_the_root_cause_and_stays_when_drafted_again(report, alice):
    line = renewal.take_cause(report=report, kind=Kind.PROXY, actor=alice, at=after(60), seen=1)

    draft_report(incident=report.incident, now=after(90))
    report.refresh_from_db()
    assert report.root_cause == line
    assert "proxy" in line
    assert report.root_cause_provenance == Provenance.PERSON
    assert report.root_cause_evidence.kind == "probes"
    with pytest.raises(ReportChanged, match="no longer"):
        renewal.take_cause(report=report, kind=Kind.GATEWAY, actor=alice, at=after(61))


def test_fixes_of_a_candidate_are_added_once(report, alice):
    assert renewal.add_fixes(report=report, kind=Kind.PROXY, actor=alice, at=after(60)) == 2
    assert renewal.add_fixes(report=report, kind=Kind.PROXY, actor=alice, at=after(61)) == 0
    assert report.fixrow_set.filter(draft_key="fix:upgrade", provenance=Provenance.INFERRED).count() == 1


def test_lock_reopen_accept_and_choice_are_audited_with_who_and_why(report, alice):
    freeze(report.incident, metrics={"cpu_percent": 55.5})
    status = next(one for one in renewal.proposals(report).offered if one.section == "status")
    renewal.accept(report=report, tokens=[status.token], actor=alice, at=after(60))
    renewal.take_cause(report=report, kind=Kind.MEMORY, actor=alice, at=after(61))
    resolved(report)
    review.sign_off(report=report, actor=alice, at=after(200), note="ok")
    review.reopen(report=report, actor=alice, at=after(201), reason="typo")

    rewrite(report, alice, at=300)
    rewrite(report, alice, at=301)

    kept = list(
        AuditEntry.objects.filter(action__startswith="report.")
        .order_by("seq")
        .values_list("action", "reason")
    )
    assert kept == [
        ("report.accept", ""),
        ("report.cause", ""),
        ("report.lock", "ok"),
        ("report.reopen", "typo"),
        ("report.save", ""),
    ]
    saved = AuditEntry.objects.get(action="report.save")
    assert (saved.actor_name, saved.after) == (
        "alice",
        {"sections": ["causes"], "version": report.versions.first().number},
    )
    first = AuditEntry.objects.get(action="report.accept")
    assert "55.50%" in str(first.after)
    assert "102.80%" in str(first.before)
    assert saved_as(first) == (["status"], 2)
    assert saved_as(AuditEntry.objects.get(action="report.cause")) == (["root_cause"], 3)


def test_an_import_is_audited_with_its_sections_and_once(report, alice):
    text = export(report) + "\n## Appendix of ours\n\nA line.\n"
    import_text(text=text, name="mine.md", now=after(50), actor=alice)
    import_text(text=text, name="mine.md", now=after(60), actor=alice)

    (entry,) = AuditEntry.objects.filter(action="report.import")
    sections, version = saved_as(entry)
    assert entry.actor_name == "alice"
    assert "mine.md" in str(entry.after)
    assert "extras" in sections
    assert version == report.versions.first().number


def test_the_admin_keeps_versions_and_does_not_save_a_signed_report(report, alice, client):
    alice.is_staff = True
    alice.save()
    client.force_login(alice)
    page = f"/admin/incidents/report/{report.pk}/change/"
    data, _buttons = form_of(client.get(page).content.decode(), "report_form")

    assert client.post(page, {**data, "root_cause": ["By hand"], "_save": "1"}).status_code == 302
    report.refresh_from_db()
    newest = report.versions.first()
    assert (report.root_cause, newest.kind, newest.actor) == ("By hand", "edited", alice)
    entry = AuditEntry.objects.get(action="report.save")
    assert entry.after == {"sections": ["root_cause"], "version": newest.number}
    data["seen"] = [str(newest.number)]

    resolved(report)
    review.sign_off(report=report, actor=alice, at=after(200))
    answer = client.post(page, {**data, "root_cause": ["Again"], "_save": "1"}, follow=True)
    told = [str(one) for one in answer.context["messages"]]
    assert told[-1] == "The report was signed off. Reopen it with a reason to change it."
    assert Report.objects.get(pk=report.pk).root_cause == "By hand"


def test_the_admin_does_not_save_over_a_version_that_was_not_seen(report, alice, client):
    alice.is_staff = True
    alice.save()
    client.force_login(alice)
    page = f"/admin/incidents/report/{report.pk}/change/"
    data, _buttons = form_of(client.get(page).content.decode(), "report_form")
    rewrite(report, person("carol"))

    answer = client.post(page, {**data, "root_cause": ["Mine"], "_save": "1"})

    assert answer.status_code == 200
    assert "Version 2 was saved since you opened the page" in answer.text
    kept, _buttons = form_of(answer.text, "report_form")
    assert kept["root_cause"] == ["Mine"]
    report.refresh_from_db()
    assert report.root_cause != "Mine"
    assert report.revision == 2
    without = {name: value for name, value in data.items() if name != "seen"}
    assert client.post(page, {**without, "root_cause": ["Mine"], "_save": "1"}).status_code == 200
    assert client.post(page, {**kept, "_save": "1"}).status_code == 302
    report.refresh_from_db()
    assert (report.root_cause, report.revision) == ("Mine", 3)


def test_the_other_language_shows_what_was_accepted_not_what_came_after(report, alice):
    freeze(report.incident, metrics={"cpu_percent": 55.5}, at=after(40))
    before = document_for(report, "ko")
    assert before.status[0].cpu == "**102.80%**"
    assert "102.80%" in before.root_cause
    assert "재시도 루프" in before.root_cause
    status = next(one for one in renewal.proposals(report).offered if one.section == "status")

    renewal.accept(report=report, tokens=[status.token], actor=alice, at=after(60))

    now = document_for(report, "ko")
    assert now.status[0].cpu == "55.50%"
    assert "102.80%" in now.root_cause, "each row from the freeze that it was drafted from"
    assert [row.text for row in now.causes if "멈추지 않는" in row.text]
