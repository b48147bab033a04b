"""Which incidents are not repeated: what all of an incident's alerts say together."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents import followups
from incidents.models import Notification, NotificationKind
from incidents.quieting import muted
from portal.monitoring import alerting
from portal.monitoring.models import Alert, Service, Silence
from tests.monitoring.stage import NAME, NOW, Stage, failing, incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def burning() -> Stage:
    """An incident with two alerts."""
    stage = Stage()
    for _sweep in range(6):
        stage.sweep(failing(9), cpu_percent=100.0)
    assert incident().signals.count() == 2
    return stage


def now_muted(minutes: float = 1) -> set[int]:
    """Numbers of the incidents that are left alone."""
    return muted([incident().number], NOW + timedelta(minutes=minutes))


def test_a_plain_incident_is_repeated(burning: Stage) -> None:
    assert now_muted() == set()
    assert muted([], NOW) == set()
    assert muted([999], NOW) == set()


def test_an_incident_is_left_alone_when_every_alert_is_acknowledged(burning: Stage) -> None:
    first, second = Alert.objects.order_by("pk")
    alerting.acknowledge(first, reason="known", at=NOW)
    assert now_muted() == set()
    alerting.acknowledge(second, reason="known", at=NOW)
    assert now_muted() == {incident().number}


def test_a_silence_mutes_an_incident_that_was_open_before_it(burning: Stage) -> None:
    Silence.objects.create(
        service_pattern=NAME, starts_at=NOW, until=NOW + timedelta(minutes=30), reason="deploy"
    )
    assert now_muted() == {incident().number}
    assert now_muted(30) == set()


def test_a_flapping_incident_is_told_at_most_once_an_hour(burning: Stage) -> None:
    Alert.objects.update(flapping_since=NOW)
    Notification.objects.update(created_at=NOW)
    assert now_muted(59) == {incident().number}
    assert now_muted(60) == set()


def test_dependents_do_not_keep_the_incident_of_an_acknowledged_cause_loud(burning: Stage) -> None:
    Alert.objects.filter(rule__name="cpu-sustained").update(suppressed_by=Service.objects.get())
    alerting.acknowledge(Alert.objects.get(suppressed_by=None), reason="known", at=NOW)
    assert now_muted() == {incident().number}
    Alert.objects.filter(suppressed_by=None).update(closed_at=NOW)
    assert now_muted() == set(), "only they are left burning"


def test_a_muted_incident_gets_no_reminder_and_the_end_of_the_silence_brings_it(burning: Stage) -> None:
    later = NOW + timedelta(minutes=6)
    Notification.objects.update(created_at=NOW - timedelta(minutes=30))
    silence = Silence.objects.create(
        service_pattern=NAME, starts_at=NOW, until=NOW + timedelta(minutes=10), reason="deploy"
    )
    assert followups.remind(now=later) == []
    silence.delete()
    (reminder,) = followups.remind(now=later)
    assert reminder.kind == NotificationKind.REMINDER
