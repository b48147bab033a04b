"""The further rules that are shipped, each from what was measured to its alert and back."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from importlib import import_module

import pytest
import redis
from django.apps import apps
from django.conf import settings

from gateway import keys
from gateway.status import FeedState, GatewayStatus
from incidents.models import Incident
from portal.monitoring import engine, gateway, probing
from portal.monitoring.events import ContainerEvent
from portal.monitoring.logs import summarise
from portal.monitoring.models import Alert, Endpoint, ProbeKind, Rule, Service
from portal.monitoring.probes.base import ProbeReading
from portal.monitoring.samples import of_endpoint, of_service
from tests.monitoring.stage import MIB, NOW, Stage, ended, firing, incident, inspected, only

pytestmark = pytest.mark.django_db


def grow(
    stage: Stage, minutes: float, per_minute: float, *, limit: int | None = None, start: float = 100
) -> None:
    """Sweep for so long while memory grows."""
    steps = int(minutes * 12)
    for step in range(steps + 1):
        used = int((start + per_minute * step / 12) * MIB)
        stage.sweep(inspected(memory_limit_bytes=limit), memory_bytes=used)


def test_a_leak_without_a_limit_fires_after_its_half_hour_and_not_before() -> None:
    only("memory-growing")
    stage = Stage()
    grow(stage, 28, 60)
    assert firing() == set()
    grow(stage, 2.5, 60, start=100 + 60 * 28)
    assert firing() == {"memory-growing"}
    assert "60.0" in Alert.objects.get().text
    assert incident().severity == "warning"


@pytest.mark.parametrize(("rule", "limit"), [("memory-growing", None), ("memory-runs-out", 4000 * MIB)])
def test_a_restart_ends_a_leak_within_a_minute_and_a_gap_does_not(rule: str, limit: int | None) -> None:
    only(rule)
    stage = Stage()
    grow(stage, 31, 110, limit=limit)
    assert firing() == {rule}
    for _sweep in range(24):
        stage.sweep(error="no answer in time")
    assert firing() == {rule}, "without data nothing closes"

    restarted = inspected(memory_limit_bytes=limit, started_at=stage.at)
    for _sweep in range(8):
        stage.sweep(restarted, memory_bytes=100 * MIB)
    assert firing() == set()


def test_slow_growth_and_a_restart_are_no_leak() -> None:
    only("memory-growing")
    grow(Stage("slow"), 31, 40)
    stage = Stage()
    grow(stage, 20, 60)
    for _sweep in range(130):
        used = int((100 + 60 * (_sweep / 12)) * MIB)
        stage.sweep(inspected(started_at=NOW + timedelta(minutes=20)), memory_bytes=used)
    assert firing() == set(), "a new start begins anew"


def test_memory_that_will_reach_its_limit_fires_in_time_and_rises() -> None:
    only("memory-runs-out")
    stage, limit = Stage(), 1000 * MIB
    grow(stage, 9, 25, limit=limit, start=400)
    assert firing() == set(), "ten minutes are not over"
    grow(stage, 1.5, 25, limit=limit, start=625)
    assert firing() == {"memory-runs-out"}
    assert Alert.objects.get().severity == "warning"
    grow(stage, 5, 25, limit=limit, start=660)
    assert Alert.objects.get().severity == "critical"
    grow(stage, 11, 0, limit=limit, start=785)
    assert firing() == set()


def test_a_container_killed_for_lack_of_memory_fires_at_once_and_says_so() -> None:
    stage = Stage()
    stage.sweep()
    killed = inspected(
        state=ended(137, on_purpose=False).state, exit_code=137, oom_killed=True, stopped_on_purpose=False,
        finished_at=stage.at, memory_limit_bytes=256 * MIB,
    )  # fmt: skip
    stage.sweep(killed)
    assert firing() == {"oom-killed"}
    assert "256" in incident().title
    stage.sweep(killed)
    assert firing() == {"oom-killed", "not-running"}
    assert Incident.objects.count() == 1
    stage.at += timedelta(minutes=11)
    stage.sweep(inspected(oom_killed=True, finished_at=NOW))
    assert firing() == set(), "an old kill of a container that runs again is over"


def test_events_tell_of_crashes_and_kills_that_a_restart_hides() -> None:
    stage = Stage()
    stage.sweep()
    service = Service.objects.select_related("state").get()
    event = partial(ContainerEvent, runtime_id=service.runtime_id, at=NOW)
    events = [
        event(action="die", exit_code=0, on_purpose=False),
        event(action="die", exit_code=143, on_purpose=True),
        event(action="die", exit_code=137, on_purpose=None),
        event(action="oom"),
        event(action="die", at=NOW + timedelta(seconds=1), exit_code=3, on_purpose=False),
        event(action="health_status"),
    ]
    samples = of_service(service, service.state, stage.reading(), events)
    engine.evaluate(list(samples))
    assert firing() == {"crashed", "oom-killed"}
    assert "3" in Alert.objects.get(rule__name="crashed").text
    assert Alert.objects.get(rule__name="crashed").incident_number is None
    assert {
        sample.kind.value: sample.value for sample in of_service(service, service.state, stage.reading(), [])
    }["crash"] == 0


@pytest.mark.parametrize(
    ("code", "on_purpose", "crash"),
    [
        (0, None, 0),
        (143, None, 0),
        (1, None, 1),
        (1, True, 0),
        (137, False, 1),
        (0, False, 0),
        (143, True, 0),
    ],
)
def test_an_end_with_an_error_that_nobody_asked_for_is_a_crash(
    code: int, on_purpose: bool | None, crash: int
) -> None:
    ended = ContainerEvent(action="die", at=NOW, exit_code=code, on_purpose=on_purpose)
    assert ended.is_crash == bool(crash)


def test_a_template_that_rises_shows_with_its_words() -> None:
    stage = Stage()
    stage.sweep()
    service = Service.objects.select_related("state").get()
    service.state.rising_factor = 12.0
    service.state.rising_template = "order <n> rejected"
    for second in range(3):
        stage.at = NOW + timedelta(seconds=10 + 5 * second)
        engine.evaluate(list(of_service(service, service.state, stage.reading())))
    alert = Alert.objects.get(rule__name="log-message-rising")
    assert "order <n> rejected" in alert.text
    assert alert.incident_number is None


def test_one_message_that_is_most_of_a_busy_log_shows() -> None:
    only("log-one-message")
    stage = Stage()
    for _sweep in range(3):
        lines = ["WebSocket connection timeout"] * 1900 + ["tick"] * 100
        stage.sweep(log_rate=400.0, logs=summarise(lines))
    assert firing() == set(), "5,000 lines are needed, three times"
    for _sweep in range(2):
        stage.sweep(log_rate=400.0, logs=summarise(["WebSocket connection timeout"] * 2000))
    assert firing() == {"log-one-message"}
    assert "WebSocket connection timeout" in Alert.objects.get().text
    assert not Incident.objects.exists()


def test_a_quiet_log_of_one_message_is_fine() -> None:
    only("log-one-message")
    stage = Stage()
    for _sweep in range(20):
        stage.sweep(log_rate=1.0, logs=summarise(["GET /health 200"] * 5))
    assert firing() == set()


def probed(days: float | None = None, *, latency_ms: float = 5.0, second: float = 0) -> Endpoint:
    """An endpoint that passed; its certificate ends in ``days``."""
    endpoint, _new = Endpoint.objects.get_or_create(
        name="api", kind=ProbeKind.HTTP, url="https://127.0.0.1:1/?token=hunter2"
    )
    reading = ProbeReading(
        ok=True, at=NOW + timedelta(seconds=second), latency_ms=latency_ms, detail="HTTP 200"
    )
    probing.record([(endpoint, reading)])
    if days is not None:
        endpoint.expires_at = NOW + timedelta(days=days)
    return endpoint


def test_a_certificate_warns_three_weeks_and_turns_critical_a_week_before_its_end() -> None:
    for second, days in enumerate((40.0, 21.5, 20.9)):
        engine.evaluate(of_endpoint(probed(days, second=second)))
    assert firing() == {"certificate-expiry"}
    assert (Alert.objects.get().severity, Alert.objects.get().text.count("hunter2")) == ("warning", 0)
    engine.evaluate(of_endpoint(probed(6.5, second=10)))
    assert Alert.objects.get().severity == "critical"
    engine.evaluate(of_endpoint(probed(-1, second=15)))
    engine.evaluate(of_endpoint(probed(90, second=20)))
    assert firing() == set()


def test_three_slow_answers_in_a_row_fire() -> None:
    for second, latency in enumerate((6000, 6000, 100, 6000, 6000)):
        engine.evaluate(of_endpoint(probed(latency_ms=latency, second=second)))
    assert firing() == set()
    engine.evaluate(of_endpoint(probed(latency_ms=6000, second=9)))
    assert firing() == {"slow-answer"}


def test_a_parked_gateway_fires_at_once_and_topics_without_a_place_show(redis_client: redis.Redis) -> None:
    slot = settings.GATEWAY_UPSTREAM.keys[0].slot

    def tell(feed: FeedState, unplaced: int, second: int) -> None:
        status = GatewayStatus(
            slot=slot, at=NOW.timestamp(), session="PARKED", feed=feed, since=NOW.timestamp() + second,
            unplaced=unplaced, last_error="8050 unregistered address",
        )  # fmt: skip
        redis_client.set(keys.STATUS.format(slot=slot), status.encode())
        engine.evaluate(gateway.samples(NOW + timedelta(seconds=second)))

    tell(FeedState.PARKED, 0, 1)
    assert firing() == {"gateway-parked"}
    assert "8050" in incident().title
    tell(FeedState.LIVE, 0, 2)
    for second in range(3, 9):
        tell(FeedState.LIVE, 7, second)
    assert firing() == {"gateway-unplaced"}
    tell(FeedState.CLOSED, 0, 10)
    assert firing() == {"gateway-unplaced"}, "not parked while the market is closed"


def test_a_runtime_that_does_not_answer_for_a_minute_is_an_incident_of_its_own() -> None:
    stage = Stage()
    stage.sweep()
    for _sweep in range(12):
        stage.swept([], error="Docker Engine does not answer")
    assert firing() == set()
    stage.swept([], error="Docker Engine does not answer")
    assert firing() == {"collector-broken"}
    assert incident().fingerprint == "collector:docker"
    stage.sweep()
    assert firing() == set()


def test_the_defaults_leave_edited_rules_alone_and_come_only_once() -> None:
    migration = import_module("portal.monitoring.migrations.0009_default_rules")
    Rule.objects.filter(name="health-streak").update(open_above=5, severity="critical", ladder="")
    Rule.objects.filter(name="oom-killed").update(severity="info")
    Rule.objects.filter(name="slow-answer").delete()
    before = Rule.objects.count()
    migration.add(apps, None)
    migration.add(apps, None)
    assert Rule.objects.count() == before + 1
    edited = Rule.objects.get(name="health-streak")
    assert (edited.open_above, edited.severity, edited.ladder) == (5, "critical", "")
    assert Rule.objects.get(name="oom-killed").severity == "info"
