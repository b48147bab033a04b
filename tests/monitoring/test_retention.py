"""What is kept how long, in bounded batches, and how large tables are."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from django.contrib.sessions.models import Session
from django.db import connection

from portal.monitoring import retention, tables, tasks
from portal.monitoring.models import (
    Alert,
    Endpoint,
    Observation,
    ProbeKind,
    ProbeResult,
    Rule,
    RuleState,
    RunState,
    RuntimeKind,
    SelfTest,
    SelfTestState,
    Service,
    ServiceHour,
    ServiceMinute,
    ServiceState,
)
from tests.monitoring.stage import NOW

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


def service(name: str, state: RunState = RunState.RUNNING, days: float = 0) -> Service:
    """A service that was last seen so many days ago."""
    created = Service.objects.create(runtime=RuntimeKind.DOCKER, name=name, discovered_at=NOW)
    ServiceState.objects.create(service=created, state=state, at=NOW - timedelta(days=days))
    return created


def test_history_is_kept_exactly_as_long_as_stated() -> None:
    kept = service("kept")
    endpoint = Endpoint.objects.create(name="e", kind=ProbeKind.HTTP, url="http://127.0.0.1/")
    for age in (timedelta(hours=48) + SECOND, timedelta(hours=48)):
        Observation.objects.create(service=kept, at=NOW - age, memory_bytes=1)
        ProbeResult.objects.create(endpoint=endpoint, at=NOW - age, ok=True)
    for age in (timedelta(days=14) + SECOND, timedelta(days=14)):
        ServiceMinute.objects.create(service=kept, at=NOW - age, samples=1)
    for age in (timedelta(days=400) + SECOND, timedelta(days=400)):
        ServiceHour.objects.create(service=kept, at=NOW - age, samples=1)

    deleted = retention.prune(NOW)

    assert sorted(deleted.values()) == [1, 1, 1, 1]
    assert Observation.objects.get().at == NOW - timedelta(hours=48)
    assert ProbeResult.objects.get().at == NOW - timedelta(hours=48)
    assert ServiceMinute.objects.get().at == NOW - timedelta(days=14)
    assert ServiceHour.objects.get().at == NOW - timedelta(days=400)


def test_open_alerts_stay_and_closed_ones_go_after_180_days() -> None:
    rule = Rule.objects.get(name="cpu-sustained")
    old = {"rule": rule, "severity": "critical", "opened_at": NOW - timedelta(days=900)}
    Alert.objects.create(subject="open", **old)
    for age in (timedelta(days=180), timedelta(days=180) + SECOND):
        Alert.objects.create(subject="closed", closed_at=NOW - age, **old)

    retention.prune(NOW)

    assert sorted(Alert.objects.values_list("subject", flat=True)) == ["closed", "open"]


def test_a_state_that_neither_fires_nor_hears_anything_is_forgotten() -> None:
    rule = Rule.objects.get(name="cpu-sustained")
    for subject, days, firing in (("idle", 15, False), ("fresh", 13, False), ("firing", 15, True)):
        at = NOW - timedelta(days=days)
        RuleState.objects.create(rule=rule, subject=subject, sampled_at=at, firing=firing)
    retention.prune(NOW)
    assert set(RuleState.objects.values_list("subject", flat=True)) == {"fresh", "firing"}


def test_late_rows_and_rows_of_the_future_hide_no_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    kept = service("kept")
    for hours in (49, -100, 60, 50, 1, 49):
        Observation.objects.create(service=kept, at=NOW - timedelta(hours=hours), memory_bytes=1)
    retention.prune(NOW)
    left = [
        round((NOW - at).total_seconds() / 3600) for at in Observation.objects.values_list("at", flat=True)
    ]
    assert sorted(left) == [-100, 1]


def test_a_run_ends_when_its_time_is_over_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = service("kept")
    old = NOW - timedelta(days=30)
    Observation.objects.bulk_create(Observation(service=kept, at=old, memory_bytes=1) for _row in range(8))
    monkeypatch.setattr(retention, "BUDGET_S", -1.0)
    assert retention.prune(NOW) == {}
    monkeypatch.undo()
    assert list(retention.prune(NOW).values()) == [8]


def test_services_that_are_long_gone_are_forgotten_and_crashed_ones_are_not() -> None:
    service("gone long ago", RunState.GONE, 15)
    service("unknown long ago", RunState.UNKNOWN, 15)
    service("gone lately", RunState.GONE, 13)
    service("crashed long ago", RunState.EXITED, 15)
    retention.prune(NOW)
    assert set(Service.objects.values_list("name", flat=True)) == {"gone lately", "crashed long ago"}


def test_thirty_self_tests_and_living_sessions_are_kept() -> None:
    for number in range(33):
        at = NOW - timedelta(days=7 * number)
        SelfTest.objects.create(started_at=at, state=SelfTestState.PASSED)
    Session.objects.create(session_key="dead", session_data="", expire_date=NOW - SECOND)
    Session.objects.create(session_key="alive", session_data="", expire_date=NOW + SECOND)
    retention.prune(NOW)
    assert SelfTest.objects.count() == 30
    assert SelfTest.objects.latest("started_at").started_at == NOW
    assert Session.objects.get().session_key == "alive"


def test_tables_are_measured_with_rows_and_bytes(redis_client: redis.Redis) -> None:
    kept = service("kept")
    Observation.objects.bulk_create(Observation(service=kept, at=NOW, memory_bytes=1) for _row in range(500))
    assert tables.load() is None

    tasks.measure_tables()

    measured = tables.load()
    assert measured is not None
    sizes = {one.table: one for one in measured.tables}
    observations = sizes["monitoring_observation"]
    if connection.vendor == "sqlite":
        assert observations.rows == 500
    assert observations.size_bytes is not None
    assert 500 * 40 < observations.size_bytes < 1_000_000
    assert measured.size_bytes is not None
    assert measured.size_bytes >= observations.size_bytes
    assert "sqlite_master" not in sizes
