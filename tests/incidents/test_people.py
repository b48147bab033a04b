"""What people set on an incident, reopening by hand, and what stands in the way of closing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction
from django.utils import timezone

from incidents import services
from incidents.errors import IllegalMove, IncidentChanged, NotAllowed, NotReviewed, PreventionOpen
from incidents.models import (
    AuditEntry,
    ChecklistItem,
    Incident,
    ItemState,
    NotificationKind,
    Priority,
    Report,
    Severity,
    State,
    TimelineKind,
)
from tests.incidents.conftest import NOW, after, fire

pytestmark = pytest.mark.django_db


def operator(name):
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get(name="operator"))
    return User.objects.get(pk=user.pk)


def resolved(**changes):
    incident = fire(**changes).incident
    return services.resolve(incident=incident, at=after(60), force=True)


def last(incident):
    return incident.timeline.last()


def test_the_severity_changes_with_a_reason_and_both_values_on_the_timeline():
    incident = fire().incident
    alice = operator("alice")
    services.change_severity(incident=incident, severity="critical", at=NOW, actor=alice, reason="전면 중단")

    incident.refresh_from_db()
    event = last(incident)
    assert incident.severity == Severity.CRITICAL
    assert (event.kind, event.actor) == (TimelineKind.STATE, alice)
    assert event.data == {"field": "severity", "old": "warning", "new": "critical", "reason": "전면 중단"}


@pytest.mark.parametrize(("severity", "reason"), [("critical", " "), ("worst", "x"), ("warning", "x")])
def test_a_severity_needs_a_reason_and_a_change(severity, reason):
    incident = fire().incident
    with pytest.raises(NotAllowed):
        services.change_severity(incident=incident, severity=severity, at=NOW, actor=None, reason=reason)


def test_the_lead_is_taken_handed_over_and_given_up():
    incident, alice, bob = fire().incident, operator("alice"), operator("bob")
    services.set_lead(incident=incident, lead=alice, at=NOW, actor=alice)
    services.set_lead(incident=incident, lead=bob, at=NOW, actor=alice, reason="교대")
    services.set_lead(incident=incident, lead=None, at=NOW, actor=bob)

    moves = incident.timeline.filter(kind=TimelineKind.LEAD)
    assert [(row.data["old"], row.data["new"]) for row in moves] == [
        ("", "alice"),
        ("alice", "bob"),
        ("bob", ""),
    ]


def test_two_people_taking_the_lead_at_once_are_not_both_told_yes():
    incident, alice, bob = fire().incident, operator("alice"), operator("bob")
    stale = Incident.objects.get()
    services.set_lead(incident=incident, lead=alice, at=NOW, actor=alice)
    with pytest.raises(IncidentChanged):
        services.set_lead(incident=stale, lead=bob, at=NOW, actor=bob)


def test_a_viewer_cannot_be_given_the_lead():
    viewer = User.objects.create_user("vera")
    with pytest.raises(NotAllowed, match="vera"):
        services.set_lead(incident=fire().incident, lead=viewer, at=NOW, actor=None)


def test_the_impact_is_corrected_with_a_reason_and_never_into_the_future():
    incident = fire(impact_started_at=after(-60)).incident
    began = NOW - timedelta(hours=3)
    services.correct_impact(incident=incident, started_at=began, at=NOW, actor=None, reason="로그 확인")
    incident.refresh_from_db()
    assert incident.impact_started_at == began
    assert last(incident).data["old"] == after(-60).isoformat()
    for when, reason in ((after(1), "x"), (began, "")):
        with pytest.raises(NotAllowed):
            services.correct_impact(incident=incident, started_at=when, at=NOW, actor=None, reason=reason)


def test_reopening_by_hand_is_another_occurrence_with_its_message_and_freeze(
    redis_client, django_capture_on_commit_callbacks
):
    incident = resolved()
    with django_capture_on_commit_callbacks(execute=True):
        services.reopen_by_hand(incident=incident, at=after(90), actor=None, reason="아직 안 됨")

    incident.refresh_from_db()
    assert (incident.state, incident.resolved_at, incident.reopened) == (State.DETECTED, None, 1)
    assert incident.notifications.filter(kind=NotificationKind.OPENED, occurrence=1).exists()
    assert redis_client.llen("ops") == 1
    assert last(incident).data["reason"] == "아직 안 됨"


def test_it_is_not_reopened_while_another_of_its_cause_burns_nor_when_it_was_reviewed():
    first = resolved()
    services.review(incident=first, at=after(70))
    with pytest.raises(IllegalMove, match=r"Reviewed|검토"):
        services.reopen_by_hand(incident=first, at=after(80))
    fire(at=after(90))
    services.unreview(incident=first, at=after(95), reason="수정")
    assert first.reviewed_at is None
    with pytest.raises(IllegalMove):
        services.reopen_by_hand(incident=first, at=after(99))


def test_a_critical_incident_is_closed_only_after_its_review():
    incident = resolved(severity=Severity.CRITICAL)
    with pytest.raises(NotReviewed):
        services.close(incident=incident, at=after(70))
    services.review(incident=incident, at=after(80))
    assert services.close(incident=incident, at=after(90)).state == State.CLOSED


def test_closing_names_the_first_p0_measure_and_how_many_more():
    incident = resolved()
    report = Report.objects.create(incident=incident, title="x", analysed_at=NOW)
    for text in ("메모리 제한", "백오프", "로그"):
        ChecklistItem.objects.create(
            report=report, text=text, priority=Priority.P0 if text != "로그" else Priority.P1
        )
    with pytest.raises(PreventionOpen, match=r"메모리 제한.*1"):
        services.close(incident=incident, at=after(70))
    report.checklist.filter(priority=Priority.P0).update(state=ItemState.WAIVED)
    services.close(incident=incident, at=after(70))


def test_a_waiver_that_ran_out_keeps_the_incident_from_being_closed():
    incident = resolved()
    report = Report.objects.create(incident=incident, title="x", analysed_at=NOW)
    item = ChecklistItem.objects.create(
        report=report, text="메모리 제한", priority=Priority.P0, state=ItemState.WAIVED
    )
    today = timezone.localdate()
    ChecklistItem.objects.filter(pk=item.pk).update(waived_until=today - timedelta(days=1))
    with pytest.raises(PreventionOpen, match="메모리 제한"):
        services.close(incident=incident, at=after(70))
    ChecklistItem.objects.filter(pk=item.pk).update(waived_until=today)
    services.close(incident=incident, at=after(70))


def test_nothing_of_a_closed_incident_changes():
    incident = services.close(incident=resolved(), at=after(70))
    with pytest.raises(IllegalMove):
        services.change_severity(incident=incident, severity="info", at=NOW, actor=None, reason="x")


@pytest.mark.parametrize(
    "half",
    [{"state": State.RESOLVED}, {"resolved_at": NOW}, {"merged_into": 1}],
    ids=["resolved without a time", "a time while it burns", "merged while it burns"],
)
def test_the_database_refuses_half_a_move(half):
    incident = fire().incident
    if "merged_into" in half:
        half = {"merged_into": fire(fingerprint="other").incident}
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.filter(pk=incident.pk).update(**half)


def test_what_people_and_bonghwa_do_is_audited_with_the_values_before_and_after():
    incident, alice = fire().incident, operator("alice")
    other = fire(fingerprint="other").incident
    services.acknowledge(incident=incident, at=NOW, actor=alice, reason="확인")
    services.change_severity(incident=incident, severity="critical", at=NOW, actor=alice, reason="전면")
    services.set_lead(incident=incident, lead=alice, at=NOW, actor=alice)
    services.merge(source=other, target=incident, at=NOW, actor=alice, reason="같은 원인")
    services.resolve(incident=incident, at=after(60), force=True)

    rows = AuditEntry.objects.order_by("seq").values_list("action", "target", "actor_name", "reason")
    assert list(rows) == [
        ("incident.acknowledge", "INC-1", "alice", "확인"),
        ("incident.severity", "INC-1", "alice", "전면"),
        ("incident.lead", "INC-1", "alice", ""),
        ("incident.merge", "INC-2", "alice", "같은 원인"),
        ("incident.resolve", "INC-1", "", ""),
    ]
    changed = AuditEntry.objects.get(action="incident.severity")
    assert (changed.before, changed.after) == ({"severity": "warning"}, {"severity": "critical"})


def test_a_refused_deed_is_not_audited():
    with pytest.raises(IllegalMove):
        services.review(incident=fire().incident, at=NOW)
    assert not AuditEntry.objects.exists()
