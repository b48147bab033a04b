"""Opening, attaching, clearing, resolving and reopening, one worker at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import services
from incidents.errors import IllegalMove, IncidentChanged, PreventionOpen, StillFiring
from incidents.models import (
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
from tests.incidents.conftest import FINGERPRINT, NOW, after, fire

pytestmark = pytest.mark.django_db


def kinds(incident):
    return list(incident.timeline.values_list("kind", flat=True))


def messages(incident):
    return sorted(incident.notifications.values_list("kind", "occurrence"))


def test_the_first_signal_opens_incident_one_with_its_message_and_timeline():
    done = fire(impact_started_at=after(-30))

    incident = done.incident
    assert done.opened
    assert not done.reopened
    assert (incident.number, incident.state, incident.services) == (1, State.DETECTED, ["api-gateway"])
    assert incident.title == "api-gateway: 헬스체크 연속 실패"
    assert incident.impact_started_at == after(-30)
    assert kinds(incident) == [TimelineKind.OPENED, TimelineKind.SIGNAL]
    assert messages(incident) == [(NotificationKind.OPENED, 0)]


def test_a_title_that_names_the_service_is_not_prefixed_again():
    assert fire(title="api-gateway CPU 103 %").incident.title == "api-gateway CPU 103 %"


def test_the_default_window_comes_from_the_settings(settings):
    settings.INCIDENT_RESOLVE_AFTER = 77.0
    assert fire(resolve_after_s=None).incident.resolve_after_s == 77.0


def test_a_second_cause_opens_the_next_number():
    fire()
    assert fire(fingerprint="gateway:a1", service="gateway").incident.number == 2


def test_a_later_signal_attaches_and_raises_the_severity():
    incident = fire().incident
    done = fire("cpu|api-gateway", severity=Severity.CRITICAL, title="CPU", at=after(5))

    assert not done.opened
    assert done.incident == incident
    assert done.incident.severity == Severity.CRITICAL
    assert Incident.objects.count() == 1
    assert kinds(incident)[2:] == [TimelineKind.SIGNAL, TimelineKind.STATE]
    assert messages(incident) == [(NotificationKind.OPENED, 0)]


def test_a_milder_signal_does_not_lower_the_severity():
    fire(severity=Severity.CRITICAL)
    assert fire("x", severity=Severity.INFO).incident.severity == Severity.CRITICAL


def test_repeating_an_open_signal_refreshes_it_without_a_timeline_row():
    incident = fire().incident
    fire(detail={"value": 400}, at=after(5))

    assert incident.signals.get().detail == {"value": 400}
    assert kinds(incident) == [TimelineKind.OPENED, TimelineKind.SIGNAL]


def test_it_turns_green_only_when_the_last_signal_clears():
    fire()
    fire("cpu|api-gateway")

    first = services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(9))
    assert first is not None
    assert first.green_since is None
    last = services.clear(fingerprint=FINGERPRINT, key="cpu|api-gateway", at=after(10))
    assert last is not None
    assert last.green_since == after(10)


def test_clearing_what_is_not_open_is_nothing():
    assert services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=NOW) is None
    fire()
    assert services.clear(fingerprint=FINGERPRINT, key="other", at=NOW) is None


def test_it_resolves_after_its_window_of_green_and_says_so_once():
    incident = fire().incident
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(10))

    assert services.resolve_green(now=after(29)) == []
    assert services.resolve_green(now=after(30)) == [incident]
    assert services.resolve_green(now=after(31)) == []
    incident.refresh_from_db()
    assert (incident.state, incident.resolved_at) == (State.RESOLVED, after(30))
    assert messages(incident) == [(NotificationKind.OPENED, 0), (NotificationKind.RESOLVED, 0)]


def test_a_signal_during_the_green_window_keeps_it_open():
    fire()
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(10))
    fire(at=after(20))

    assert services.resolve_green(now=after(60)) == []


def resolved():
    incident = fire().incident
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(10))
    services.resolve_green(now=after(30))
    return incident


def test_the_same_cause_within_a_day_reopens_and_sends_messages_of_a_new_occurrence():
    incident = resolved()
    done = fire(at=after(3600))

    assert (done.incident, done.opened, done.reopened) == (incident, False, True)
    assert (done.incident.state, done.incident.resolved_at) == (State.DETECTED, None)
    assert done.incident.burning_since == after(3600)
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(3610))
    services.resolve_green(now=after(3640))
    assert messages(incident) == [
        (NotificationKind.OPENED, 0),
        (NotificationKind.OPENED, 1),
        (NotificationKind.RESOLVED, 0),
        (NotificationKind.RESOLVED, 1),
    ]


def test_the_same_cause_after_a_day_is_a_recurrence():
    first = resolved()
    done = fire(at=after(30 + 86_401))

    assert done.opened
    assert (done.incident.number, done.incident.recurrence_of) == (2, first)


def test_a_reviewed_incident_is_not_reopened():
    incident = resolved()
    incident.refresh_from_db()
    services.review(incident=incident, at=after(40), actor=None)

    assert fire(at=after(50)).opened


def test_a_new_alert_undoes_a_mitigation():
    incident = fire().incident
    services.mitigate(incident=incident, at=after(5), reason="재시작")
    again = fire("cpu|api-gateway", at=after(9)).incident

    assert (again.state, again.mitigated_at) == (State.DETECTED, None)


def test_people_move_it_through_its_life_and_the_timeline_names_them(django_user_model):
    alice = django_user_model.objects.create_user("alice")
    incident = fire().incident
    services.acknowledge(incident=incident, at=after(1), actor=alice)
    services.mitigate(incident=incident, at=after(2), actor=alice, reason="재시작")
    services.resolve(incident=incident, at=after(3), actor=alice, force=True)
    services.review(incident=incident, at=after(4), actor=alice)
    services.close(incident=incident, at=after(5), actor=alice)
    services.add_note(incident=incident, text="끝", at=after(6), actor=alice, starred=True)

    moves = incident.timeline.filter(kind=TimelineKind.STATE)
    assert [(row.data["old"], row.data["new"]) for row in moves] == [
        ("detected", "acknowledged"),
        ("acknowledged", "mitigated"),
        ("mitigated", "resolved"),
        ("resolved", "reviewed"),
        ("reviewed", "closed"),
    ]
    assert {row.actor for row in moves} == {alice}


def test_it_refuses_an_illegal_move_and_a_stale_one():
    incident = fire().incident
    stale = Incident.objects.get()
    with pytest.raises(IllegalMove):
        services.review(incident=incident, at=NOW)
    services.mitigate(incident=incident, at=NOW)
    with pytest.raises(IncidentChanged):
        services.acknowledge(incident=stale, at=NOW)


def test_it_is_not_resolved_by_hand_while_alerts_fire_unless_forced():
    incident = fire().incident
    with pytest.raises(StillFiring):
        services.resolve(incident=incident, at=NOW)
    services.resolve(incident=incident, at=NOW, force=True)
    assert not incident.signals.filter(cleared_at=None).exists()


@pytest.mark.parametrize("days", [0, -1])
def test_a_waiver_that_ran_out_keeps_an_incident_open_before_a_worker_notices(days):
    incident = resolved()
    incident.refresh_from_db()
    report = Report.objects.create(incident=incident, title="x", analysed_at=NOW)
    until = timezone.localdate() + timedelta(days=days)
    ChecklistItem.objects.create(
        report=report, text="제한", priority=Priority.P0, state=ItemState.WAIVED, waived_until=until
    )

    if days == 0:
        assert services.close(incident=incident, at=NOW).state == State.CLOSED
    else:
        with pytest.raises(PreventionOpen, match="제한"):
            services.close(incident=incident, at=NOW)


@pytest.mark.parametrize(("state", "closes"), [("open", False), ("claimed", False), ("verified", True)])
def test_it_is_not_closed_while_a_p0_measure_is_unverified(state, closes):
    incident = resolved()
    incident.refresh_from_db()
    report = Report.objects.create(incident=incident, title="x", analysed_at=NOW)
    ChecklistItem.objects.create(report=report, text="제한", priority=Priority.P0, state=ItemState(state))

    if closes:
        assert services.close(incident=incident, at=NOW).state == State.CLOSED
    else:
        with pytest.raises(PreventionOpen, match="제한"):
            services.close(incident=incident, at=NOW)
