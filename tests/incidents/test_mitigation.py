"""A mitigation and its taking back: by a person, by a new alert, and after an action that did not help."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from incidents import services
from incidents.errors import IllegalMove, IncidentChanged, NotAllowed
from incidents.models import AuditEntry, Incident, State, TimelineKind
from tests.incidents.conftest import FINGERPRINT, after, fire

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga(django_user_model):
    return django_user_model.objects.create_user("olga")


def mitigated(*, acknowledged=False):
    """An incident whose alert fires and which somebody declared mitigated after a minute."""
    incident = fire().incident
    if acknowledged:
        services.acknowledge(incident=incident, at=after(30))
    return services.mitigate(incident=incident, at=after(60), reason="재시작")


@pytest.mark.parametrize(
    ("acknowledged", "back"), [(False, State.DETECTED), (True, State.ACKNOWLEDGED)], ids=["seen", "taken"]
)
def test_a_person_takes_it_back_to_what_it_was_with_a_reason(olga, acknowledged, back):
    incident = mitigated(acknowledged=acknowledged)

    services.unmitigate(incident=incident, at=after(90), actor=olga, reason="여전히 502")

    incident.refresh_from_db()
    assert (incident.state, incident.mitigated_at) == (back, None)
    event = incident.timeline.filter(kind=TimelineKind.STATE).latest("pk")
    assert (event.actor, event.data["old"], event.data["new"]) == (olga, "mitigated", back)
    assert event.data["reason"] == "여전히 502"
    entry = AuditEntry.objects.latest("seq")
    assert (entry.action, entry.actor_name, entry.reason) == ("incident.unmitigate", "olga", "여전히 502")
    assert (entry.before, entry.after) == ({"state": "mitigated"}, {"state": back.value})
    services.mitigate(incident=incident, at=after(120), actor=olga)
    assert incident.mitigated_at == after(120)


def test_it_needs_a_reason_and_a_mitigation_that_is_still_the_one_that_was_seen(olga):
    stale = mitigated()
    with pytest.raises(NotAllowed):
        services.unmitigate(incident=stale, at=after(90), actor=olga, reason=" ")
    fresh = Incident.objects.get()
    services.unmitigate(incident=fresh, at=after(90), reason="아님")
    with pytest.raises(IllegalMove):
        services.unmitigate(incident=fresh, at=after(91), reason="아님")
    services.mitigate(incident=fresh, at=after(100))
    with pytest.raises(IncidentChanged):
        services.unmitigate(incident=stale, at=after(101), actor=olga, reason="본 적 없는 완화")
    assert Incident.objects.get().mitigated_at == after(100)


def test_a_mitigated_incident_is_not_acknowledged_back_to_burning():
    incident = mitigated()
    with pytest.raises(IllegalMove):
        services.acknowledge(incident=incident, at=after(90))


@pytest.mark.django_db(transaction=True)
def test_a_new_alert_takes_it_back_and_that_is_audited():
    incident = mitigated(acknowledged=True)

    fire("cpu|api-gateway", at=after(90))

    incident.refresh_from_db()
    assert (incident.state, incident.mitigated_at) == (State.ACKNOWLEDGED, None)
    entry = AuditEntry.objects.get(action="incident.unmitigate")
    assert (entry.actor_name, entry.target) == ("", f"INC-{incident.number}")


def test_an_alert_that_goes_on_firing_does_not_take_it_back():
    incident = mitigated()
    fire(at=after(90))
    incident.refresh_from_db()
    assert incident.state == State.MITIGATED


def test_after_a_look_only_a_mitigation_of_that_time_goes_and_only_while_an_alert_fires():
    incident = mitigated()
    given = {"incident": incident, "at": after(200), "reason": "재시작했지만 그대로임"}

    assert not services.unmitigate_if_firing(since=after(59), **given), "somebody declared it afterwards"
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(100))
    assert not services.unmitigate_if_firing(since=after(61), **given), "it is green"
    fire("health|api-gateway", at=after(110))
    services.mitigate(incident=Incident.objects.get(), at=after(115))
    assert services.unmitigate_if_firing(since=after(115), **given)
    assert not services.unmitigate_if_firing(since=after(115), **given)
    assert Incident.objects.get().state == State.DETECTED


def test_what_resolved_and_fires_again_is_another_occurrence_that_nobody_acknowledged():
    incident = mitigated(acknowledged=True)
    services.resolve(incident=incident, at=after(90), force=True)

    again = fire(at=after(200)).incident

    assert (again, again.state, again.reopened) == (incident, State.DETECTED, 1)
    assert (again.acknowledged_at, again.mitigated_at) == (None, None)


@pytest.mark.parametrize("half", [{"mitigated_at": None}, {"state": State.ACKNOWLEDGED}])
def test_the_database_refuses_half_a_mitigation(half):
    mitigated(acknowledged=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.update(**half)
