"""The collector's own cost: counted, shown, and lower on a runtime that is slow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from threading import Event

import pytest
import redis
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone

from portal.monitoring import store
from portal.monitoring.meter import Meter, percentile
from portal.monitoring.pace import BASE_S, LONGEST_S, SLOW_MS, next_interval
from tests.conditions import wait_until
from tests.dashboard import world
from tests.portal.test_metrics import scraped, value


def test_the_interval_doubles_to_its_bound_while_it_is_slow_and_comes_back() -> None:
    slow, well = SLOW_MS + 1, SLOW_MS
    steps = list(accumulate([slow, slow, slow, slow, well, well, well], next_interval, initial=BASE_S))
    assert steps == [5, 10, 20, 20, 20, 10, 5, 5]
    assert steps[4] == LONGEST_S


def test_a_slow_runtime_is_left_alone_until_its_interval_is_over(redis_client: redis.Redis) -> None:
    assert store.note_pace("docker", 100) == BASE_S
    assert not store.backing_off("docker")
    assert [store.note_pace("docker", 3000) for _sweep in range(3)] == [10, 20, 20]
    assert store.backing_off("docker")
    assert not store.backing_off("process")
    assert [store.note_pace("docker", 3) for _sweep in range(2)] == [10, 5]
    assert not store.backing_off("docker")


def test_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([], 0.95) == 0.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([float(n) for n in range(1, 21)], 0.95) == 19.0


def test_a_call_that_fails_or_hangs_counts() -> None:
    meter, release, begun = Meter(), Event(), Event()

    def hang() -> None:
        begun.set()
        release.wait(10)

    with pytest.raises(ZeroDivisionError):
        meter.timed(lambda: 1 / 0)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(meter.timed, hang)
        assert begun.wait(10)
        calls, _took = meter.read()
        wait_until(lambda: meter.read()[1] > 50, what="the hanging call's time grows")
        release.set()
    assert calls == 2


def test_whether_it_is_guarded_is_asked_once_in_ten_minutes(redis_client: redis.Redis) -> None:
    answers = iter([False])
    for _sweep in range(3):
        assert store.guarded("docker", lambda: next(answers)) is False
    assert 0 < redis_client.ttl(store.GUARD.format(runtime="docker")) <= store.GUARD_TTL


def cost(**changes: object) -> store.Cost:
    """A sweep of a slow, unguarded Engine."""
    given: dict[str, object] = {
        "at": timezone.now().isoformat(), "runtime": "docker", "ms": 2500.0, "services": 97, "skipped": 3,
        "calls": 301, "p95_ms": 2100.0, "interval_s": 10.0, "gaps": 2, "guarded": False,
    }  # fmt: skip
    return store.Cost(**(given | changes))  # type: ignore[arg-type] # given by name


@pytest.mark.django_db
def test_cost_skips_age_and_pace_are_metrics(client: Client, redis_client: redis.Redis) -> None:
    world.publish(redis_client)
    store.save_cost(cost())
    families = scraped(client)
    for name, expected in {
        "up": 1, "sweep_seconds": 2.5, "calls": 301, "call_p95_seconds": 2.1, "services": 97,
        "skipped_services": 3, "interval_seconds": 10, "guarded": 0,
    }.items():  # fmt: skip
        assert value(families, f"bonghwa_collector_{name}", runtime="docker") == expected, name
    assert value(families, "bonghwa_collector_event_gaps", runtime="docker") == 2
    at = value(families, "bonghwa_collector_last_sweep_timestamp_seconds", runtime="docker")
    assert abs(at - timezone.now().timestamp()) < 60


@pytest.mark.django_db
def test_the_services_page_shows_the_cost_and_warns_of_a_raw_socket(
    client: Client, redis_client: redis.Redis
) -> None:
    client.force_login(world.person("alice", "viewer"))
    store.save_cost(cost())
    page = client.get("/services/", headers={"accept-language": "en"}).content.decode()
    assert "301" in page
    assert "lock_open" in page
    store.save_cost(cost(guarded=True, error="<script>alert(1)</script>"))
    page = client.get("/services/").content.decode()
    assert "lock_open" not in page
    assert "<script>alert(1)" not in page


@pytest.mark.parametrize(
    ("host", "https", "warned"),
    [
        ("unix:///var/run/docker.sock", True, True),
        ("unix:///var/run/docker.sock", False, False),
        ("tcp://docker-read:2375", True, False),
    ],
)
def test_a_raw_socket_in_production_is_warned_of(settings, host: str, https: bool, warned: bool) -> None:
    settings.DOCKER_HOST, settings.HTTPS = host, https
    found = {str(message.id) for message in run_checks(tags=["security"], include_deployment_checks=True)}
    assert ("portal.W001" in found) is warned
