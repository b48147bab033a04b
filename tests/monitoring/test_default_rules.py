"""Every rule that is shipped fires and closes at its own threshold, from stored sweeps to the incident."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings

from gateway import keys
from gateway.status import FeedState, GatewayStatus
from portal.monitoring import engine, gateway, probing
from portal.monitoring.models import Alert, Endpoint, Health, ProbeKind, Rule, RuleKind, RunState, Service
from portal.monitoring.probes.base import ProbeReading
from tests.monitoring.stage import FINGERPRINT, MIB, NOW, Stage, ended, failing, firing, incident, inspected

pytestmark = pytest.mark.django_db

GIVEN: dict[str, Callable[[float], dict[str, Any]]] = {
    "health-streak": lambda streak: {"inspection": failing(int(streak))},
    "cpu-sustained": lambda percent: {"cpu_percent": percent},
    "memory-limit": lambda percent: {
        "inspection": inspected(memory_limit_bytes=1000 * MIB),
        "memory_bytes": int(percent * 10 * MIB),
    },
    "memory-no-limit": lambda mib: {"memory_bytes": int(mib * MIB)},
    "log-flood": lambda rate: {"log_rate": rate},
    "restart-loop": lambda restarts: {"recent_restarts": int(restarts)},
}


@pytest.mark.parametrize(
    ("rule", "below", "bad", "between", "good", "opens_after", "closes_after"),
    [
        ("health-streak", 2, 3, 1, 0, 1, 1),
        ("cpu-sustained", 89.9, 90, 70, 69.9, 6, 3),
        ("memory-limit", 89.9, 90, 80, 79.9, 3, 3),
        ("memory-no-limit", 2047, 2048, 1800, 1799, 3, 3),
        ("log-flood", 99.9, 100, 50, 49.9, 3, 3),
        ("restart-loop", 2, 3, 1, 0, 1, 1),
    ],
)
def test_a_default_rule_opens_at_its_limit_and_closes_below_the_lower_one(
    rule: str, below: float, bad: float, between: float, good: float, opens_after: int, closes_after: int
) -> None:
    stage, given = Stage(), GIVEN[rule]

    for _sweep in range(opens_after + 5):
        stage.sweep(**given(below))
    assert firing() == set(), "just under the limit is not an outage"

    stage.sweep(**given(good))
    for _sweep in range(opens_after - 1):
        assert stage.sweep(**given(bad)) == []
    assert [alert.rule.name for alert in stage.sweep(**given(bad))] == [rule]
    assert incident().fingerprint == FINGERPRINT
    detail = incident().signals.get().detail
    assert (detail["rule"], detail["subject"]) == (rule, "docker:api-gateway")

    for _sweep in range(closes_after + 5):
        stage.sweep(**given(between))
    assert firing() == {rule}, "between the two limits nothing changes"
    assert incident().green_since is None

    for _sweep in range(closes_after - 1):
        assert stage.sweep(**given(good)) == []
    assert [alert.rule.name for alert in stage.sweep(**given(good))] == [rule]
    assert firing() == set()
    assert incident().green_since is not None


def test_one_good_sample_restarts_a_sustained_window() -> None:
    stage = Stage()
    for percent in (100, 100, 100, 100, 100, 10, 100, 100, 100, 100, 100):
        stage.sweep(cpu_percent=percent)
    assert firing() == set()

    stage.sweep(cpu_percent=100)
    assert firing() == {"cpu-sustained"}


def test_cpu_is_judged_by_the_containers_own_limit() -> None:
    stage = Stage()
    for _sweep in range(8):
        stage.sweep(inspected(cpu_limit_cores=2.0), cpu_percent=170.0)
    assert firing() == set(), "170 % of one core is 85 % of two"

    for _sweep in range(6):
        stage.sweep(inspected(cpu_limit_cores=0.5), cpu_percent=46.0)
    assert firing() == {"cpu-sustained"}


def test_memory_with_a_limit_is_never_judged_as_memory_without_one() -> None:
    stage = Stage()
    for _sweep in range(5):
        stage.sweep(inspected(memory_limit_bytes=8000 * MIB), memory_bytes=4000 * MIB)
    assert firing() == set()


def test_a_starting_containers_streak_does_not_count() -> None:
    Stage().sweep(failing(5, Health.STARTING))
    assert firing() == set()


def test_an_outage_began_with_the_first_failure_of_its_streak() -> None:
    Stage().sweep(failing(397))
    assert incident().impact_started_at == NOW - timedelta(seconds=2 * 396)


def test_a_running_service_without_a_reading_fires_after_a_minute_and_closes_on_the_next() -> None:
    """An Engine so slow that it is looked at every 20 s, and one sweep late, is no silence."""
    stage = Stage()
    stage.sweep()
    for _sweep in range(11):
        stage.sweep(error="no answer in time")
    assert firing() == set()

    stage.sweep(error="no answer in time")
    assert firing() == {"service-silent"}
    stage.sweep()
    assert firing() == set()


def test_a_crash_fires_on_the_second_sweep_and_closes_when_it_runs_again() -> None:
    stage = Stage()
    stage.sweep()
    crash = ended(1, on_purpose=False)
    assert stage.sweep(crash) == []

    stage.sweep(crash)
    assert firing() == {"not-running"}
    assert incident().signals.get().detail["exit_code"] == 1
    stage.sweep()
    assert firing() == set()


def test_a_paused_container_fires() -> None:
    stage = Stage()
    for _sweep in range(2):
        stage.sweep(inspected(state=RunState.PAUSED))
    assert firing() == {"not-running"}


def test_a_container_that_had_crashed_long_before_it_was_first_seen_is_history() -> None:
    stage = Stage()
    for _sweep in range(3):
        stage.sweep(ended(1, on_purpose=False, at=NOW - timedelta(days=2)))
    assert firing() == set()


def probe(endpoint: Endpoint, seconds: float, ok: bool) -> None:
    """One stored and evaluated probe of ``endpoint``."""
    at = NOW + timedelta(seconds=seconds)
    reading = ProbeReading(ok=ok, at=at, latency_ms=1.0, detail="HTTP 200" if ok else "HTTP 502")
    engine.evaluate(probing.record([(endpoint, reading)]))


def test_an_endpoint_fires_on_the_third_failure_in_its_services_incident_and_closes_on_the_second_pass() -> (
    None
):
    Stage().sweep()
    endpoint = Endpoint.objects.create(
        service=Service.objects.get(), name="domain", kind=ProbeKind.HTTP, url="http://127.0.0.1:1/"
    )
    for seconds, ok in ((0, False), (10, False), (20, True), (30, False), (40, False)):
        probe(endpoint, seconds, ok)
    assert firing() == set()

    probe(endpoint, 50, False)
    assert firing() == {"probe-failing"}
    assert incident().fingerprint == FINGERPRINT
    assert "HTTP 502" in Alert.objects.get().text
    probe(endpoint, 60, True)
    assert firing() == {"probe-failing"}
    probe(endpoint, 70, True)
    assert firing() == set()


def slot() -> str:
    """The configured slot."""
    return settings.GATEWAY_UPSTREAM.keys[0].slot


def tell(client: redis.Redis, feed: FeedState, since: float) -> None:
    """Have the gateway say ``feed`` since ``since`` seconds after ``NOW``."""
    status = GatewayStatus(
        slot=slot(),
        at=NOW.timestamp() + since,
        session="BACKOFF",
        feed=feed,
        since=NOW.timestamp() + since,
        attempts=7,
    )
    client.set(keys.STATUS.format(slot=slot()), status.encode())


def watch(seconds: float) -> list[Alert]:
    """Evaluate the gateway so long after ``NOW``."""
    return engine.evaluate(gateway.samples(NOW + timedelta(seconds=seconds)))


def test_a_gateway_fires_when_it_was_not_live_for_thirty_seconds_and_closes_on_the_second_live_sample(
    redis_client: redis.Redis,
) -> None:
    tell(redis_client, FeedState.RECONNECTING, 0)
    watch(29.9)
    assert firing() == set()

    watch(30)
    assert firing() == {"gateway-not-live"}
    assert incident().fingerprint == f"gateway:{slot()}"
    assert incident().impact_started_at == NOW
    tell(redis_client, FeedState.LIVE, 35)
    watch(40)
    assert firing() == {"gateway-not-live"}
    watch(45)
    assert firing() == set()


@pytest.mark.parametrize(
    ("feed", "rule"),
    [
        (FeedState.CLOSED, set()),
        (FeedState.LIVE, set()),
        (FeedState.PARKED, {"gateway-not-live", "gateway-parked"}),
        (FeedState.STALE, {"gateway-not-live"}),
    ],
)
def test_a_closed_market_is_fine_and_a_parked_or_stale_feed_is_not(
    redis_client: redis.Redis, feed: FeedState, rule: set[str]
) -> None:
    tell(redis_client, feed, 0)
    watch(3600)
    assert firing() == rule


def test_a_gateway_without_a_status_does_not_run(redis_client: redis.Redis) -> None:
    since = gateway.samples(NOW)[0].began
    assert since is not None
    engine.evaluate(gateway.samples(since + timedelta(seconds=29)))
    assert firing() == set()

    engine.evaluate(gateway.samples(since + timedelta(seconds=31)))
    assert firing() == {"gateway-not-live"}
    tell(redis_client, FeedState.LIVE, 0)
    engine.evaluate(gateway.samples(since + timedelta(seconds=36)))
    engine.evaluate(gateway.samples(since + timedelta(seconds=41)))
    assert firing() == set()


def test_every_kind_of_rule_is_shipped() -> None:
    assert set(Rule.objects.filter(enabled=True).values_list("kind", flat=True)) == set(RuleKind.values)


@pytest.mark.parametrize(("silent", "rules"), [(2, {"service-silent"}), (5, {"collector-broken"})])
def test_a_runtime_that_is_silent_about_most_of_its_services_is_one_incident(
    silent: int, rules: set[str]
) -> None:
    stages = [Stage(f"svc-{number}") for number in range(8)]
    first = stages[0]

    def look(errors: int) -> None:
        for stage in stages:
            stage.at = first.at
        first.swept(
            [
                stage.reading(error="no answer in time" if number < errors else "")
                for number, stage in enumerate(stages)
            ]
        )

    look(0)
    for _sweep in range(14):
        look(silent)
    assert firing() == rules
    if rules == {"collector-broken"}:
        for part in ("5", "8"):
            assert part in incident().title
    look(0)
    assert firing() == set()
