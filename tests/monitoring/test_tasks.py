"""Beat's tasks: one at a time, none for ever, and a history that stays bounded."""

from __future__ import annotations

from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
import redis
from celery import current_app
from django.db import DataError, connection
from django_celery_beat.models import PeriodicTask

from portal import heartbeat
from portal.monitoring import store, tasks
from portal.monitoring.models import (
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
)
from tests.conditions import wait_until
from tests.monitoring.probe_servers import http_server
from tests.monitoring.stage import NOW, Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def dead_engine(settings) -> None:
    """Settings that name an Engine which is not there."""
    settings.DOCKER_HOST = "unix:///nowhere/sock"


@pytest.mark.usefixtures("dead_engine", "redis_client")
def test_a_sweep_that_is_still_running_keeps_the_next_one_out() -> None:
    with store.lock("collect:docker", 30) as free:
        assert free
        tasks.collect("docker")
        assert store.costs() == [], "the second sweep did nothing"
    tasks.collect("docker")
    assert [cost.runtime for cost in store.costs()] == ["docker"]


@pytest.mark.usefixtures("dead_engine")
def test_a_round_that_came_to_its_end_is_noted_and_one_that_failed_is_not(redis_client: redis.Redis) -> None:
    def fails(*_: object) -> None:
        raise DataError("a row that cannot be read")

    with connection.execute_wrapper(fails), pytest.raises(DataError):
        tasks.collect("docker")
    with connection.execute_wrapper(fails), pytest.raises(DataError):
        tasks.probe()
    assert heartbeat.ages(redis_client) == {}

    tasks.collect("docker")
    tasks.collect("docker")
    tasks.probe()
    assert heartbeat.ages(redis_client).keys() == {"round:sweep:docker", "round:probes"}


@pytest.mark.usefixtures("redis_client")
def test_services_of_an_engine_that_refuses_to_list_are_unknown(settings) -> None:
    Stage().sweep()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        known = handler.path == "/version"
        body = b'{"ApiVersion": "1.45"}' if known else b'{"message": "forbidden by the proxy"}'
        handler.send_response(200 if known else 403)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with http_server(answer) as url:
        settings.DOCKER_HOST = url.replace("http://", "tcp://")
        tasks.collect("docker")

    state = Service.objects.get().state
    assert (state.state, state.error) == (RunState.UNKNOWN, "list: forbidden by the proxy")
    assert store.costs()[0].error == state.error


@pytest.mark.usefixtures("redis_client")
def test_runtimes_and_tasks_have_locks_of_their_own() -> None:
    with store.lock("collect:docker", 30) as first, store.lock("probe", 30) as second:
        assert (first, second) == (True, True)


def test_the_lock_of_a_task_that_never_ended_runs_out(redis_client: redis.Redis) -> None:
    dead = redis_client.lock(store.LOCK.format(name="probe"), timeout=0.3)
    assert dead.acquire(blocking=False)

    def is_free() -> bool:
        with store.lock("probe", 30) as free:
            return free

    assert not is_free()
    wait_until(is_free, 5, "the lock ran out")


def test_a_task_that_outlived_its_lock_does_not_free_another_ones(redis_client: redis.Redis) -> None:
    name = store.LOCK.format(name="probe")
    with store.lock("probe", 0.1):
        wait_until(lambda: not redis_client.exists(name), 5)
        assert redis_client.lock(name, timeout=30).acquire(blocking=False)
    assert redis_client.exists(name)


def test_a_lock_is_freed_when_the_task_fails_and_never_outlives_its_bound(redis_client: redis.Redis) -> None:
    name = store.LOCK.format(name="prune")

    def fail() -> None:
        with store.lock("prune", tasks.LOCK_S):
            assert 0 < redis_client.pttl(name) <= tasks.LOCK_S * 1000
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not redis_client.exists(name)


@pytest.mark.usefixtures("redis_client")
def test_a_dead_runtime_is_left_alone_longer_and_longer_until_it_answers() -> None:
    assert not store.backing_off("docker")
    assert [store.note_failure("docker") for _failure in range(5)] == [5, 10, 20, 30, 30]
    assert store.backing_off("docker")
    assert store.note_success("docker")
    assert not store.backing_off("docker")
    assert not store.note_success("docker")
    assert store.note_failure("docker") == 5


@pytest.mark.usefixtures("redis_client")
def test_a_runtime_that_is_neither_configured_nor_known_is_not_swept(settings, tmp_path) -> None:
    settings.DATA_DIR = tmp_path
    tasks.collect("process")
    assert store.costs() == []


def test_every_scheduled_task_exists_and_expires_within_its_period() -> None:
    rows = PeriodicTask.objects.filter(task__startswith="monitoring.")
    assert {row.task for row in rows} == {
        "monitoring.collect", "monitoring.probe", "monitoring.watch_gateway", "monitoring.prune",
        "monitoring.roll_up", "monitoring.measure_tables", "monitoring.self_test",
        "monitoring.settle_self_tests",
    }  # fmt: skip
    for row in rows:
        assert row.task in current_app.tasks
        assert (row.queue, row.enabled) == ("collect", True)
        if row.crontab is not None:
            assert 0 < row.expire_seconds <= 3600
            continue
        assert row.interval.period == "seconds"
        assert 0 < row.expire_seconds <= row.interval.every


def service(name: str, state: RunState, days: float) -> Service:
    """A service that was last seen so many days ago."""
    created = Service.objects.create(runtime=RuntimeKind.DOCKER, name=name, discovered_at=NOW)
    ServiceState.objects.create(service=created, state=state, at=NOW - timedelta(days=days))
    return created
