"""Minutes and hours from stored readings: once each, with late data, after a kill, over a long backlog."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import redis
from django.db import IntegrityError, transaction

from portal.monitoring import rollups, tasks
from portal.monitoring.models import (
    Endpoint,
    EndpointHour,
    EndpointMinute,
    Observation,
    ProbeKind,
    ProbeResult,
    RuntimeKind,
    Service,
    ServiceHour,
    ServiceMinute,
)
from tests.monitoring.stage import NOW

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def watched() -> Service:
    return Service.objects.create(runtime=RuntimeKind.DOCKER, name="api", discovered_at=NOW)


def read(service: Service, at: datetime, cpu: float | None, **changes: float) -> None:
    Observation.objects.create(
        service=service, at=at, cpu_percent=cpu, **({"memory_bytes": 100, "restart_count": 2} | changes)
    )


def test_a_minute_and_its_hour_hold_mean_and_maximum(watched: Service) -> None:
    for second, cpu in ((0, 1.0), (20, 99.0), (59, None)):
        read(watched, NOW + timedelta(seconds=second), cpu, failing_streak=second)
    read(watched, NOW + 2 * MINUTE, 2.0)

    rollups.roll_up(NOW + 5 * MINUTE)

    first = ServiceMinute.objects.get(at=NOW)
    assert (first.samples, first.cpu_percent_mean, first.cpu_percent_max) == (3, 50.0, 99.0)
    assert (first.failing_streak_max, first.memory_bytes_mean, first.restart_count_max) == (59, 100, 2)
    hour = ServiceHour.objects.get()
    assert hour.at == NOW.replace(minute=0)
    assert (hour.samples, hour.cpu_percent_max) == (4, 99.0)


def test_the_minute_that_is_not_over_waits(watched: Service) -> None:
    read(watched, NOW, 1.0)
    assert rollups.roll_up(NOW + timedelta(seconds=59)) == 0
    assert rollups.roll_up(NOW + timedelta(seconds=60)) == 1


def test_computed_twice_a_window_has_one_row_and_the_database_holds_it_so(watched: Service) -> None:
    read(watched, NOW, 1.0)
    rollups.roll_up(NOW + MINUTE)
    rollups.roll_up(NOW + MINUTE)
    assert (ServiceMinute.objects.count(), ServiceHour.objects.count()) == (1, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        ServiceMinute.objects.create(service=watched, at=NOW, samples=1)


def test_a_late_reading_changes_its_minute_and_its_hour(watched: Service) -> None:
    read(watched, NOW, 1.0)
    read(watched, NOW + 2 * MINUTE, 1.0)
    rollups.roll_up(NOW + 3 * MINUTE)
    read(watched, NOW + timedelta(seconds=30), 7.0)
    rollups.roll_up(NOW + 4 * MINUTE)
    assert ServiceMinute.objects.get(at=NOW).cpu_percent_max == 7.0
    assert ServiceHour.objects.get().cpu_percent_max == 7.0


def test_what_a_killed_worker_left_undone_is_done_by_the_next_run(
    watched: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(90):
        read(watched, NOW + minute * MINUTE, float(minute))
    with monkeypatch.context() as patch:
        patch.setattr(rollups, "_write_hours", lambda *_given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rollups.roll_up(NOW + 90 * MINUTE)
    assert not ServiceMinute.objects.exists(), "minutes and their hours come together or not at all"

    rollups.roll_up(NOW + 91 * MINUTE)

    assert ServiceMinute.objects.count() == 90
    assert [hour.cpu_percent_max for hour in ServiceHour.objects.order_by("at")] == [44, 89]


def test_a_backlog_is_worked_off_in_bounded_parts(watched: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "MAX_ROWS", 100)
    other = Service.objects.create(runtime=RuntimeKind.DOCKER, name="other", discovered_at=NOW)
    for service in (watched, other):
        Observation.objects.bulk_create(
            Observation(service=service, at=NOW + timedelta(seconds=5 * n), memory_bytes=n)
            for n in range(12 * 20)
        )
    now = NOW + 20 * MINUTE
    runs = 0
    while ServiceMinute.objects.filter(samples=12).count() < 40:
        rollups.roll_up(now)
        runs += 1
        assert runs < 10
    assert runs > 1
    assert {hour.samples for hour in ServiceHour.objects.all()} == {240}
    assert {hour.memory_bytes_max for hour in ServiceHour.objects.all()} == {239}


def test_a_gap_in_the_readings_is_a_gap_in_the_minutes(watched: Service) -> None:
    read(watched, NOW, 1.0)
    rollups.roll_up(NOW + MINUTE)
    read(watched, NOW + timedelta(hours=12), 2.0)
    rollups.roll_up(NOW + timedelta(hours=12) + MINUTE)
    assert [row.at for row in ServiceMinute.objects.order_by("at")] == [NOW, NOW + timedelta(hours=12)]
    assert ServiceHour.objects.count() == 2


def test_probes_become_a_pass_rate_and_latencies(redis_client: redis.Redis) -> None:
    endpoint = Endpoint.objects.create(name="e", kind=ProbeKind.HTTP, url="http://127.0.0.1/")
    for second, ok, latency in ((0, True, 10.0), (10, False, None), (20, True, 30.0), (30, True, 20.0)):
        at = NOW + timedelta(seconds=second)
        ProbeResult.objects.create(endpoint=endpoint, at=at, ok=ok, latency_ms=latency)
    rollups.roll_up(NOW + MINUTE)
    minute, hour = EndpointMinute.objects.get(), EndpointHour.objects.get()
    assert (minute.samples, minute.pass_rate) == (4, 0.75)
    assert (minute.latency_ms_mean, minute.latency_ms_max) == (20.0, 30.0)
    assert (hour.pass_rate, hour.latency_ms_max) == (0.75, 30.0)


def test_the_task_needs_few_queries_however_many_services_there_are(
    redis_client: redis.Redis, django_assert_max_num_queries
) -> None:
    for number in range(60):
        service = Service.objects.create(runtime=RuntimeKind.DOCKER, name=str(number), discovered_at=NOW)
        read(service, NOW, 1.0)
    with django_assert_max_num_queries(30):
        assert rollups.roll_up(NOW + MINUTE) == 60
    tasks.roll_up()
    assert ServiceMinute.objects.count() == 60
