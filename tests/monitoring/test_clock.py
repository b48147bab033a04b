"""After the clock was set back, rules judge, probes run and messages go at once, and what fires stays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.models import DeliveryState, Notification
from portal.monitoring import clock, probing
from portal.monitoring.models import Endpoint, ProbeKind, RuleState
from tests.monitoring.stage import NOW, Stage, failing, firing

pytestmark = pytest.mark.django_db
AHEAD = timedelta(hours=1)


def test_a_rule_that_judged_ahead_of_the_clock_judges_again() -> None:
    stage = Stage()
    stage.at = NOW + AHEAD
    stage.sweep(cpu_percent=100.0)
    stage.at = NOW

    for _ in range(12):
        stage.sweep(cpu_percent=100.0)
    assert firing() == set(), "older samples than the last are left alone"

    clock.forget_the_future(NOW)
    for _ in range(12):
        stage.sweep(cpu_percent=100.0)

    assert firing() == {"cpu-sustained"}


def test_what_fires_goes_on_firing_and_the_present_is_left_alone() -> None:
    stage = Stage()
    for streak in (7, 8, 9):
        stage.sweep(failing(streak))
    before = list(RuleState.objects.order_by("pk").values())

    assert clock.forget_the_future(stage.at) == 0
    assert list(RuleState.objects.order_by("pk").values()) == before

    clock.forget_the_future(stage.at - AHEAD)
    assert firing() == {"health-streak"}


def test_a_probe_and_a_message_that_wait_for_a_later_time_are_due() -> None:
    endpoint = Endpoint.objects.create(name="web", kind=ProbeKind.HTTP, url="http://127.0.0.1:9/")
    Endpoint.objects.update(next_at=NOW + AHEAD)
    stage = Stage()
    for streak in (7, 8, 9):
        stage.sweep(failing(streak))
    waiting = Notification.objects.filter(state=DeliveryState.PENDING)
    waiting.update(next_attempt_at=NOW + AHEAD)
    assert probing.claim(10, NOW) == []

    clock.forget_the_future(NOW)

    assert [one.pk for one in probing.claim(10, NOW)] == [endpoint.pk]
    assert waiting.exists()
    assert not waiting.filter(next_attempt_at__gt=NOW).exists()
