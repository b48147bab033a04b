"""Merging and splitting: nothing vanishes, and alerts clear wherever they went."""

from __future__ import annotations

from itertools import pairwise

import pytest

from incidents import services
from incidents.errors import IllegalMove, IncidentChanged, NotAllowed
from incidents.models import (
    Incident,
    IncidentSignal,
    NotificationKind,
    Severity,
    State,
    TimelineKind,
)
from incidents.related import MERGED, SERVICE, TIME, related
from tests.incidents.conftest import FINGERPRINT, NOW, after, fire

pytestmark = pytest.mark.django_db
OTHER = "service:docker:frontend"


def frontend(key="down|frontend", **changes):
    given = {"fingerprint": OTHER, "service": "frontend", "title": "frontend 응답 없음"}
    return fire(key, **(given | changes))


def merge(source, target, reason="같은 원인"):
    return services.merge(source=source, target=target, at=after(60), actor=None, reason=reason)


def split(incident, *keys, reason="다른 원인"):
    chosen = incident.signals.filter(key__in=keys).values_list("pk", flat=True)
    return services.split(incident=incident, signals=set(chosen), at=after(60), actor=None, reason=reason)


def reload(incident):
    return Incident.objects.get(pk=incident.pk)


def test_a_merged_incident_keeps_its_past_and_its_alerts_go_on_in_the_other():
    target = fire().incident
    source = frontend(severity=Severity.CRITICAL, impact_started_at=after(-600)).incident
    merge(source, target)

    source, target = reload(source), reload(target)
    assert (source.state, source.merged_into, source.timeline.count()) == (State.RESOLVED, target, 3)
    assert (target.severity, target.services) == (Severity.CRITICAL, ["api-gateway", "frontend"])
    assert target.impact_started_at == after(-600)
    assert target.signals.filter(cleared_at=None).count() == 2
    assert not source.notifications.filter(kind=NotificationKind.RESOLVED).exists()
    assert [row.data["alerts"] for row in target.timeline.filter(kind=TimelineKind.MERGED)] == [1]


def test_alerts_of_a_merged_cause_attach_refresh_and_clear_in_the_survivor():
    target, source = fire().incident, frontend().incident
    merge(source, target)

    assert frontend(at=after(70), detail={"value": 2}).incident == target
    assert frontend("slow|frontend", at=after(71)).incident == target
    for key in ("down|frontend", "slow|frontend"):
        services.clear(fingerprint=OTHER, key=key, at=after(80))
    assert reload(target).green_since is None
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(90))
    assert reload(target).green_since == after(90)


def test_after_the_survivor_is_over_the_merged_cause_opens_an_incident_of_its_own():
    target, source = fire().incident, frontend().incident
    merge(source, target)
    services.resolve(incident=reload(target), at=after(100), force=True)

    again = frontend(at=after(200))
    assert again.opened
    assert (again.incident.number, again.incident.recurrence_of) == (3, source)


def test_many_are_merged_one_after_another_and_every_old_number_leads_to_the_last():
    incidents = [fire(fingerprint=f"cause:{number}", service=f"s{number}").incident for number in range(5)]
    for source, target in pairwise(incidents):
        merge(reload(source), reload(target))

    last = incidents[-1]
    assert {reload(one).merged_into for one in incidents[:-1]} == {last}
    assert last.signals.filter(cleared_at=None).count() == 5
    assert [one.why[0] for one in related(reload(last))] == [MERGED] * 4


def test_a_merge_that_makes_no_sense_is_refused_and_changes_nothing():
    first, second = fire().incident, frontend().incident
    with pytest.raises(NotAllowed):
        merge(first, first)
    with pytest.raises(NotAllowed):
        merge(first, second, reason=" ")
    services.resolve(incident=second, at=after(50), force=True)
    with pytest.raises(IllegalMove, match="INC-2"):
        merge(first, second)
    merge(second, first)
    with pytest.raises(IllegalMove, match="INC-2"):
        merge(second, first)
    assert reload(first).is_open


def test_a_split_gives_the_chosen_alerts_an_incident_with_message_and_freeze(
    redis_client, django_capture_on_commit_callbacks
):
    incident = fire().incident
    fire("cpu|api-gateway", at=after(5), severity=Severity.CRITICAL)
    services.acknowledge(incident=incident, at=after(10))
    with django_capture_on_commit_callbacks(execute=True):
        part = split(incident, "cpu|api-gateway")

    part = reload(part)
    assert (part.number, part.split_from, part.state) == (2, incident, State.ACKNOWLEDGED)
    assert (part.opened_at, part.severity, part.services) == (after(5), Severity.CRITICAL, ["api-gateway"])
    assert part.notifications.filter(kind=NotificationKind.OPENED).count() == 1
    assert redis_client.llen("ops") == 1
    assert [row.data.get("into") for row in incident.timeline.filter(kind=TimelineKind.SPLIT)] == [2]


def test_a_split_alert_refreshes_and_clears_where_it_is_now():
    incident = fire().incident
    fire("cpu|api-gateway")
    part = split(incident, "cpu|api-gateway")

    assert fire("cpu|api-gateway", detail={"value": 9}, at=after(70)).incident == part
    services.clear(fingerprint=FINGERPRINT, key="cpu|api-gateway", at=after(80))
    assert (reload(part).green_since, reload(incident).green_since) == (after(80), None)
    assert IncidentSignal.objects.count() == 2


def test_a_split_leaves_something_and_takes_something_that_is_still_open():
    incident = fire().incident
    fire("cpu|api-gateway")
    for keys in ((), ("health|api-gateway", "cpu|api-gateway")):
        with pytest.raises(NotAllowed):
            split(incident, *keys)
    chosen = set(incident.signals.filter(key="cpu|api-gateway").values_list("pk", flat=True))
    services.clear(fingerprint=FINGERPRINT, key="cpu|api-gateway", at=after(50))
    with pytest.raises(IncidentChanged):
        services.split(incident=incident, signals=chosen, at=NOW, actor=None, reason="x")
    assert Incident.objects.count() == 1


def test_incidents_of_the_same_service_and_time_are_listed_as_related():
    first = fire().incident
    second = fire(fingerprint="other", at=after(60)).incident
    fire(fingerprint="far", service="db", title="db", at=after(86_400))

    assert [(one.incident, one.why) for one in related(first)] == [(second, (SERVICE, TIME))]
