"""What an open alert goes through: rungs, flapping, an acknowledgement, an end."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from incidents.models import Incident, Notification, NotificationKind, State
from incidents.services import resolve_green
from portal.monitoring import alerting
from portal.monitoring.models import Alert, Health, Rule
from portal.monitoring.runtimes.base import HealthReading, Inspection
from tests.monitoring.stage import NOW, Stage, failing, firing, incident, inspected, only

pytestmark = pytest.mark.django_db


def streak(length: int) -> Inspection:
    """A container whose check runs every thirty seconds."""
    health = HealthReading(status=Health.UNHEALTHY, failing_streak=length, interval_s=30.0)
    return inspected(health=health)


def test_a_streak_climbs_its_ladder_and_says_the_time_it_stands_for() -> None:
    stage = Stage()
    seen = []
    for length in (3, 9, 10, 39, 40, 397):
        stage.sweep(streak(length))
        seen.append((Alert.objects.get().severity, Alert.objects.get().level, incident().severity))
    warning, critical = ("warning", 0, "warning"), ("critical", 1, "critical")
    assert seen == [
        warning,
        warning,
        critical,
        critical,
        ("critical", 2, "critical"),
        ("critical", 2, "critical"),
    ]
    signal = incident().signals.get()
    assert "40" in signal.title
    assert "20" in signal.title, "minutes"
    assert signal.severity == "critical"
    assert Notification.objects.filter(kind=NotificationKind.OPENED).count() == 1


def test_a_late_rule_opens_at_the_rung_it_has_reached() -> None:
    Stage().sweep(streak(397))
    alert = Alert.objects.get()
    assert (alert.severity, alert.level) == ("critical", 2)
    assert "3" in alert.text
    assert "18" in alert.text, "three hours and eighteen minutes"


def flap(stage: Stage, changes: int) -> None:
    """Let the health check change its mind so often, a minute apart."""
    for number in range(changes):
        stage.sweep(failing(0 if number % 2 else 9))
        stage.at += timedelta(seconds=55)


def test_a_flapping_rule_keeps_one_incident_and_one_message_until_it_is_calm() -> None:
    only("health-streak")
    stage = Stage(labels={"bonghwa.resolve-after": "20"})
    flap(stage, 40)

    alert = Alert.objects.get(closed_at=None)
    assert alert.flapping_since is not None
    assert alert.incident_number == incident().number
    assert incident().green_since is None
    assert resolve_green(now=stage.at) == []
    assert Notification.objects.count() == 1
    assert Alert.objects.count() == 2, "what changed after flapping began opened nothing"

    stage.at += timedelta(minutes=13)
    stage.sweep(failing(0))
    assert firing() == {"health-streak"}
    stage.at += timedelta(minutes=2)
    stage.sweep(failing(0))
    assert firing() == set()
    assert incident().green_since is not None


def test_a_rule_that_settles_on_bad_goes_on_without_flapping() -> None:
    only("health-streak")
    stage = Stage()
    flap(stage, 5)
    assert Alert.objects.get(closed_at=None).flapping_since is not None
    stage.at += timedelta(minutes=16)
    stage.sweep(failing(9))
    alert = Alert.objects.get(closed_at=None)
    assert alert.flapping_since is None
    assert Incident.objects.count() == 1


def test_a_stop_on_purpose_ends_flapping() -> None:
    only("health-streak")
    stage = Stage()
    flap(stage, 6)
    stage.swept([])
    assert firing() == set()
    flap(stage, 1)
    assert Alert.objects.get(closed_at=None).flapping_since is None


def test_an_acknowledgement_takes_the_incident_too_and_ends_with_the_alert() -> None:
    user = User.objects.create_user("kim")
    stage = Stage()
    stage.sweep(failing(9))
    alerting.acknowledge(Alert.objects.get(), reason=" looking at it ", at=NOW, actor=user)

    alert = Alert.objects.get()
    assert (alert.acknowledged_by, alert.acknowledged_reason) == (user, "looking at it")
    assert incident().state == State.ACKNOWLEDGED
    moved = incident().timeline.get(data__new="acknowledged")
    assert (moved.actor, moved.data["reason"]) == (user, "looking at it")

    stage.sweep(failing(0))
    stage.sweep(failing(9))
    assert Alert.objects.get(closed_at=None).acknowledged_at is None


def test_an_acknowledgement_needs_a_reason_and_an_open_alert() -> None:
    stage = Stage()
    stage.sweep(failing(9))
    alert = Alert.objects.get()
    with pytest.raises(ValueError, match="reason"):
        alerting.acknowledge(alert, reason="  ", at=NOW)
    stage.sweep(failing(0))
    with pytest.raises(ValueError, match="closed"):
        alerting.acknowledge(alert, reason="late", at=NOW)
    assert incident().state == State.DETECTED


def test_what_to_do_travels_with_the_alert() -> None:
    Rule.objects.filter(name="health-streak").update(runbook="Read the last output, then restart.")
    Stage().sweep(failing(9))
    assert incident().signals.get().detail["runbook"] == "Read the last output, then restart."
