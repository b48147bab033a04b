"""What opens, attaches, clears and stays when services are stopped, crash, vanish or stop being watched."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.serializers import serialize
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext

from incidents.models import Incident, State
from incidents.services import resolve_green
from portal.monitoring import engine, probing, services
from portal.monitoring.collector import Sweep
from portal.monitoring.models import (
    Alert,
    Endpoint,
    Observation,
    ProbeKind,
    Rule,
    RuleState,
    RunState,
    RuntimeKind,
    Service,
)
from portal.monitoring.probes.base import ProbeReading
from portal.monitoring.texts import closed_text
from tests.monitoring.stage import FINGERPRINT, NAME, NOW, SUBJECT, Stage, ended, failing, firing, incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def burning() -> Stage:
    """A stage on which the streak, the CPU and the log rules fire."""
    stage = Stage(labels={"bonghwa.resolve-after": "20"})
    for _sweep in range(6):
        stage.sweep(failing(9), cpu_percent=100.0, log_rate=5_000.0)
    assert firing() == {"health-streak", "cpu-sustained", "log-flood"}
    return stage


def test_every_alert_of_one_service_attaches_to_one_incident(burning: Stage) -> None:
    assert (incident().fingerprint, incident().services) == (FINGERPRINT, [NAME])
    assert set(Alert.objects.values_list("incident_number", flat=True)) == {incident().number}
    assert incident().signals.count() == 3


def test_the_signal_carries_the_measured_values(burning: Stage) -> None:
    detail = incident().signals.get(detail__rule="log-flood").detail
    assert (detail["value"], detail["limit"], detail["kind"]) == (5_000.0, 100.0, "log_flood")
    assert (detail["failing_streak"], detail["cpu_percent"], detail["health"]) == (9, 100.0, "unhealthy")


def test_a_service_of_its_own_gets_an_incident_of_its_own(burning: Stage) -> None:
    Stage("worker").sweep(failing(9))
    assert Incident.objects.count() == 2


@pytest.mark.parametrize("code", [0, 137, 143])
def test_a_stop_on_purpose_closes_every_alert_and_leads_to_resolve(burning: Stage, code: int) -> None:
    stopped_at = burning.at
    closed = burning.sweep(ended(code, on_purpose=True))

    assert closed == [], "stopping is no verdict of a rule"
    assert firing() == set()
    assert set(Alert.objects.values_list("closed_reason", flat=True)) == {closed_text("stopped")}
    assert incident().green_since == stopped_at
    assert resolve_green(now=stopped_at + timedelta(seconds=19)) == []
    assert resolve_green(now=stopped_at + timedelta(seconds=20)) == [incident()]
    assert incident().state == State.RESOLVED


def test_a_removal_closes_every_alert_and_shows_the_service_as_gone(burning: Stage) -> None:
    burning.swept([])

    assert firing() == set()
    assert set(Alert.objects.values_list("closed_reason", flat=True)) == {closed_text("removed")}
    assert Service.objects.get().state.state == RunState.GONE
    assert incident().green_since is not None


def test_a_crash_closes_nothing_and_adds_its_own_alert(burning: Stage) -> None:
    for _sweep in range(3):
        burning.sweep(ended(1, on_purpose=False))

    assert firing() == {"health-streak", "cpu-sustained", "log-flood", "not-running"}
    assert incident().green_since is None
    assert Service.objects.get().state.cpu_percent is None


def test_a_container_that_comes_back_starts_with_a_clean_count(burning: Stage) -> None:
    burning.sweep(ended(0, on_purpose=True))
    for _sweep in range(5):
        burning.sweep(cpu_percent=100.0)
    assert firing() == set()

    burning.sweep(cpu_percent=100.0)
    assert firing() == {"cpu-sustained"}


def test_a_dead_engine_makes_services_unknown_and_neither_opens_nor_closes(burning: Stage) -> None:
    rows, measured_at = Observation.objects.count(), Service.objects.get().state.at
    for _sweep in range(10):
        assert burning.swept([], error="Docker Engine does not answer (list): refused") == []

    state = Service.objects.get().state
    assert (state.state, state.at) == (RunState.UNKNOWN, measured_at), "its age keeps counting"
    assert "does not answer" in state.error
    assert firing() == {"health-streak", "cpu-sustained", "log-flood"}
    assert Observation.objects.count() == rows
    burning.sweep(failing(0))
    assert Service.objects.get().state.state == RunState.RUNNING
    assert firing() == {"cpu-sustained", "log-flood"}


def test_the_same_samples_count_once_however_often_they_are_evaluated() -> None:
    stage = Stage()
    stage.sweep()
    reading = stage.reading(failing(3), cpu_percent=100.0)
    samples = services.record(Sweep(runtime=RuntimeKind.DOCKER, at=stage.at, readings=(reading,)))

    assert [alert.rule.name for alert in engine.evaluate(samples)] == ["health-streak"]
    for _again in range(8):
        assert engine.evaluate(samples) == []
    assert firing() == {"health-streak"}, "one bad CPU sample is not six"
    assert incident().signals.count() == 1


def test_a_late_sample_is_not_counted_after_a_newer_one() -> None:
    stage = Stage()
    stage.sweep(cpu_percent=100.0)
    stage.at = NOW - timedelta(seconds=5)
    stage.sweep(cpu_percent=100.0)
    assert RuleState.objects.get(rule__name="cpu-sustained").bad == 1


def test_a_clean_service_writes_no_rule_state_and_evaluates_with_two_queries() -> None:
    stage = Stage()
    stage.sweep()
    samples = services.record(Sweep(runtime=RuntimeKind.DOCKER, at=stage.at, readings=(stage.reading(),)))
    with CaptureQueriesContext(connection) as queries:
        engine.evaluate(samples)
    assert len(queries) == 2
    assert not RuleState.objects.exists()


def test_a_rule_looks_only_at_the_services_of_its_pattern() -> None:
    Rule.objects.filter(name="health-streak").update(service_pattern="web-*")
    Stage().sweep(failing(9))
    Stage("web-1").sweep(failing(9))
    assert list(Alert.objects.values_list("subject", flat=True)) == ["docker:web-1"]


def test_a_rule_that_opens_no_incident_still_shows_its_alert() -> None:
    Rule.objects.filter(name="health-streak").update(opens_incident=False)
    stage = Stage()
    stage.sweep(failing(9))
    assert firing() == {"health-streak"}
    stage.sweep(failing(0))
    assert firing() == set()
    assert not Incident.objects.exists()


def test_a_failed_write_for_one_service_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def full(execute, sql, params, many, context):
        if sql.startswith("INSERT") and "monitoring_alert" in sql and "docker:unlucky" in params:
            raise DatabaseError("disk is full")
        return execute(sql, params, many, context)

    unlucky = Stage("unlucky")
    with connection.execute_wrapper(full):
        both = [unlucky.reading(failing(9)), Stage().reading(failing(9))]
        assert [alert.subject for alert in unlucky.swept(both)] == [SUBJECT]
    assert "rule health-streak on docker:unlucky not evaluated" in caplog.text

    both = [unlucky.reading(failing(10)), Stage().reading(failing(10))]
    assert [alert.subject for alert in unlucky.swept(both)] == ["docker:unlucky"], "the next sample decides"


def unwatched() -> set[str]:
    """Close what is not watched; returns the rules that are left firing."""
    closed = engine.close_unwatched(NOW + timedelta(minutes=5))
    assert {alert.closed_reason for alert in closed} <= {closed_text("unwatched")}
    return firing()


def test_alerts_of_a_rule_that_was_switched_off_close(burning: Stage) -> None:
    assert unwatched() == {"health-streak", "cpu-sustained", "log-flood"}
    Rule.objects.filter(name="log-flood").update(enabled=False)
    assert unwatched() == {"health-streak", "cpu-sustained"}


def test_alerts_of_a_service_that_was_switched_off_close(burning: Stage) -> None:
    Service.objects.update(enabled=False)
    assert unwatched() == set()
    burning.sweep(failing(9))
    assert firing() == set()
    assert incident().green_since is not None


def test_alerts_of_a_deleted_service_close(burning: Stage) -> None:
    Service.objects.all().delete()
    assert unwatched() == set()


def test_alerts_of_an_endpoint_that_was_switched_off_or_deleted_close() -> None:
    endpoint = Endpoint.objects.create(name="domain", kind=ProbeKind.HTTP, url="http://127.0.0.1:1/")
    for second in range(3):
        reading = ProbeReading(ok=False, at=NOW + timedelta(seconds=second), latency_ms=1, detail="refused")
        engine.evaluate(probing.record([(endpoint, reading)]))
    assert unwatched() == {"probe-failing"}
    endpoint.delete()
    assert unwatched() == set()


def test_alerts_of_a_gateway_slot_that_is_not_configured_any_more_close() -> None:
    rule = Rule.objects.get(name="gateway-not-live")
    Alert.objects.create(
        rule=rule, subject="gateway:old", fingerprint="gateway:old", severity="critical", opened_at=NOW
    )
    assert unwatched() == set()


def test_an_alert_and_its_incident_hold_no_secret_of_an_address() -> None:
    endpoint = Endpoint.objects.create(
        name="feed", kind=ProbeKind.HTTP, url="https://bob:hunter2@example.invalid/?token=hunter2"
    )
    for second in range(3):
        reading = ProbeReading(
            ok=False, at=NOW + timedelta(seconds=second), latency_ms=None, detail="HTTP 500"
        )
        engine.evaluate(probing.record([(endpoint, reading)]))

    told = [incident(), *incident().signals.all(), *incident().timeline.all(), *Alert.objects.all()]
    text = serialize("json", [*told, *incident().notifications.all()])
    assert "example.invalid" in text
    assert "hunter2" not in text
