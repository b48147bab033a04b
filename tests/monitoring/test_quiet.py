"""Silences, maintenance windows and market hours: what they hold back, and what happens at their end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core.exceptions import ValidationError

from incidents.models import Incident, Notification
from incidents.services import resolve_green
from portal.monitoring import alerting, market
from portal.monitoring.models import Alert, Held, MaintenanceWindow, Rule, Silence
from portal.monitoring.quiet import recurs_at
from tests.monitoring.stage import NAME, NOW, Stage, failing, firing, incident, only

MONDAY_NINE_KST = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)


def silence(**changes: object) -> Silence:
    """A silence of an hour around the stage's clock."""
    given: dict[str, object] = {
        "starts_at": NOW - timedelta(minutes=1),
        "until": NOW + timedelta(hours=1),
        "reason": "deploy",
    }
    return Silence.objects.create(**(given | changes))


@pytest.mark.django_db
def test_inside_a_silence_an_alert_shows_and_opens_nothing() -> None:
    silence(service_pattern="api-*", rule_pattern="health-*")
    stage = Stage()
    stage.sweep(failing(9))
    alert = Alert.objects.get()
    assert (alert.held, alert.held_reason) == (Held.SILENCE, "deploy")
    assert firing() == {"health-streak"}
    assert not Incident.objects.exists()
    assert not Notification.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("other", [{"service_pattern": "web-*"}, {"rule_pattern": "cpu-*"}])
def test_what_a_silence_does_not_match_opens(other: dict[str, str]) -> None:
    silence(**other)
    Stage().sweep(failing(9))
    assert incident().services == [NAME]


@pytest.mark.django_db
def test_what_still_fails_at_the_end_opens_then_with_the_time_it_began() -> None:
    silence()
    stage = Stage()
    stage.sweep(failing(9))
    assert alerting.release_held(NOW + timedelta(minutes=59)) == []
    end = NOW + timedelta(hours=1)

    assert len(alerting.release_held(end)) == 1
    assert incident().opened_at == end
    assert incident().impact_started_at == NOW - timedelta(seconds=16)
    assert alerting.release_held(end) == [], "once"
    assert Notification.objects.count() == 1


@pytest.mark.django_db
def test_what_recovers_inside_never_opens() -> None:
    silence()
    stage = Stage()
    stage.sweep(failing(9))
    stage.sweep(failing(0))
    assert firing() == set()
    assert alerting.release_held(NOW + timedelta(hours=2)) == []
    assert not Incident.objects.exists()


@pytest.mark.django_db
def test_an_incident_from_before_resolves_inside() -> None:
    stage = Stage(labels={"bonghwa.resolve-after": "20"})
    stage.sweep(failing(9))
    silence()
    stage.sweep(failing(0))
    green = incident().green_since
    assert green is not None
    assert resolve_green(now=green + timedelta(seconds=20)) == [incident()]


@pytest.mark.django_db
def test_an_alert_that_two_things_hold_waits_for_both() -> None:
    silence(until=NOW + timedelta(minutes=10))
    silence(until=NOW + timedelta(minutes=20), reason="migration")
    Stage().sweep(failing(9))
    assert alerting.release_held(NOW + timedelta(minutes=10)) == []
    assert Alert.objects.get().held_reason == "migration"
    assert len(alerting.release_held(NOW + timedelta(minutes=20))) == 1


@pytest.mark.django_db
def test_dependents_of_a_silenced_parent_are_held_with_it() -> None:
    silence(service_pattern="db")
    db, web = Stage("db"), Stage("web", {"bonghwa.depends-on": "db"})
    db.swept([db.reading(failing(3)), web.reading(failing(3))])
    assert set(Alert.objects.values_list("held", flat=True)) == {Held.SILENCE}
    assert not Incident.objects.exists()
    alerting.release_held(NOW + timedelta(hours=1))
    assert incident().fingerprint == "service:docker:db"
    assert set(incident().services) == {"db", "web"}


def test_a_silence_has_an_end_within_thirty_days() -> None:
    for until in (NOW + timedelta(days=31), NOW - timedelta(seconds=1)):
        with pytest.raises(ValidationError):
            Silence(starts_at=NOW, until=until, reason="x").clean()
    Silence(starts_at=NOW, until=NOW + timedelta(days=30), reason="x").clean()


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        (MONDAY_NINE_KST, False),
        (MONDAY_NINE_KST + timedelta(hours=14), True),  # Monday 23:00
        (MONDAY_NINE_KST + timedelta(hours=15, minutes=59), True),  # Tuesday 00:59
        (MONDAY_NINE_KST + timedelta(hours=16), False),  # Tuesday 01:00
        (MONDAY_NINE_KST + timedelta(days=1, hours=14), False),  # Tuesday 23:00
        (MONDAY_NINE_KST - timedelta(hours=8, minutes=30), False),  # Monday 00:30: Sunday has none
    ],
)
def test_a_window_recurs_in_korean_time_and_reaches_over_midnight(at: datetime, covered: bool) -> None:
    length = timedelta(hours=2)
    assert recurs_at(weekdays=["mon"], start=time(23, 0), duration=length, at=at) is covered


@pytest.mark.django_db
def test_inside_a_maintenance_window_nothing_opens_and_what_still_fails_after_it_does() -> None:
    MaintenanceWindow.objects.create(
        name="market open", weekdays=["mon"], start=time(9, 0), duration_min=30, service_pattern="api-*",
        reason="restart",
    )  # fmt: skip
    stage, other = Stage(), Stage("web")
    stage.swept([stage.reading(failing(9)), other.reading(failing(9))])
    assert Alert.objects.get(name=NAME).held == Held.MAINTENANCE
    assert incident().services == ["web"]
    alerting.release_held(NOW + timedelta(minutes=14, seconds=59))
    assert Incident.objects.count() == 1
    alerting.release_held(NOW + timedelta(minutes=15))
    assert Incident.objects.count() == 2


@pytest.mark.parametrize("weekdays", [[], ["someday"], "mon"])
def test_a_window_that_never_comes_is_refused(weekdays: object) -> None:
    with pytest.raises(ValidationError):
        MaintenanceWindow(name="x", weekdays=weekdays, start=time(1), reason="x").clean()


SATURDAY = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)


@pytest.fixture
def korean_market(settings) -> None:
    """The gateway's calendar is Korea's, not the simulator's."""
    settings.GATEWAY_UPSTREAM = replace(settings.GATEWAY_UPSTREAM, calendar="krx")


@pytest.mark.django_db
@pytest.mark.usefixtures("korean_market")
def test_a_rule_limited_to_market_hours_opens_only_in_them_and_closes_at_any_time() -> None:
    only("health-streak")
    Rule.objects.update(market="KRX", open_after=2)
    stage = Stage()
    stage.at = SATURDAY
    for _sweep in range(5):
        stage.sweep(failing(9))
    assert firing() == set()

    stage.at = MONDAY_NINE_KST - timedelta(seconds=5)
    stage.sweep(failing(9))
    stage.sweep(failing(9))
    assert firing() == set(), "bad samples from before nine do not count"
    stage.sweep(failing(9))
    assert firing() == {"health-streak"}

    stage.at = MONDAY_NINE_KST + timedelta(hours=8)
    stage.sweep(failing(9))
    assert firing() == {"health-streak"}
    stage.sweep(failing(0))
    assert firing() == set()


@pytest.mark.django_db
@pytest.mark.usefixtures("korean_market")
def test_nxt_has_hours_of_its_own() -> None:
    evening = MONDAY_NINE_KST + timedelta(hours=9)
    assert not market.is_open("KRX", evening)
    assert market.is_open("NXT", evening)
    assert market.is_open("any", evening)
    assert market.is_open("", SATURDAY)
