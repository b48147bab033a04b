"""``/metrics``: what Prometheus reads of the gateway and of the feed, parsed as Prometheus does."""

from __future__ import annotations

import re
import time
from dataclasses import asdict

import orjson
import pytest
import redis
from django.conf import settings
from django.test import Client
from django.utils import timezone
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway import keys
from gateway.status import FeedState, FeedStatus
from portal.monitoring.models import SelfTest, SelfTestState
from tests.dashboard import world

pytestmark = pytest.mark.django_db


def report(client: redis.Redis, process: str, **values: object) -> None:
    """Write a web process's sums as it does."""
    status = FeedStatus(process=process, at=time.time(), **values)  # type: ignore[arg-type] # given by name
    client.set(keys.FEED.format(process=process), orjson.dumps(asdict(status)), ex=60)


def scraped(client: Client) -> dict[str, Metric]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {family.name: family for family in text_string_to_metric_families(answer.content.decode())}


def value(families: dict[str, Metric], family: str, **labels: str) -> float:
    """Return the one sample of ``family`` with these labels."""
    (found,) = (one.value for one in families[family].samples if one.labels == labels)
    return float(found)


def test_the_upstream_session_is_told_whole(client: Client, redis_client: redis.Redis) -> None:
    seen = time.time() - 4
    world.publish(
        redis_client,
        FeedState.RECONNECTING,
        session="BACKOFF",
        attempts=7,
        attempts_total=31,
        next_retry_s=12.5,
        breaker="half_open",
        breaker_manual=True,
        unplaced=3,
        capacity=200,
        free=188,
        silent=2,
        standbys=1,
        lag_ms=2.5,
        last_row_at=seen,
        log_lines=40,
        log_dropped=2,
    )

    families = scraped(client)

    assert value(families, "bonghwa_gateway_state", slot="key-1", state="reconnecting") == 1
    assert value(families, "bonghwa_gateway_state", slot="key-1", state="live") == 0
    assert value(families, "bonghwa_gateway_session_state", slot="key-1", state="BACKOFF") == 1
    assert value(families, "bonghwa_gateway_breaker_state", slot="key-1", state="half_open") == 1
    for name, expected in {
        "consecutive_failures": 7,
        "connection_attempts": 31,
        "next_retry_seconds": 12.5,
        "breaker_open": 1,
        "breaker_manual": 1,
        "topics": 12,
        "unplaced_topics": 3,
        "capacity_items": 200,
        "free_items": 188,
        "silent_topics": 2,
        "standbys": 1,
        "bus_lag_seconds": 0.0025,
        "last_row_timestamp_seconds": seen,
        "rows_in": 1200,
        "log_lines": 40,
        "log_lines_dropped": 2,
    }.items():
        assert value(families, f"bonghwa_gateway_{name}", slot="key-1") == pytest.approx(expected), name


def test_each_web_process_is_told_by_itself(client: Client, redis_client: redis.Redis) -> None:
    report(
        redis_client,
        "web-a",
        connections=20,
        topics=3,
        subscriptions=60,
        rows_in=900,
        rows_out=18_000,
        dropped=5,
        queued_frames=12,
        queued_bytes=4096,
        conflating=1,
        tasks=31,
        closes={"4408": 2, "1012": 20},
    )
    report(redis_client, "web-b", connections=1)

    families = scraped(client)

    for name, expected in {
        "connections": 20,
        "topics": 3,
        "subscriptions": 60,
        "rows_in": 900,
        "rows_out": 18_000,
        "rows_dropped": 5,
        "queue_frames": 12,
        "queue_bytes": 4096,
        "conflating_connections": 1,
        "tasks": 31,
    }.items():
        assert value(families, f"bonghwa_feed_{name}", process="web-a") == expected, name
    assert value(families, "bonghwa_feed_connections", process="web-b") == 1
    assert value(families, "bonghwa_feed_closes", process="web-a", code="4408") == 2
    limit = value(families, "bonghwa_feed_limit", limit="max_connections")
    assert limit == settings.GATEWAY_FEED.max_connections


def test_the_last_self_test_is_told_once_there_is_one(client: Client, redis_client: redis.Redis) -> None:
    assert "bonghwa_self_test_passed" not in scraped(client)

    began = timezone.now()
    SelfTest.objects.create(started_at=began, state=SelfTestState.LATE, delivered_after_s=71.5)
    families = scraped(client)
    assert value(families, "bonghwa_self_test_passed") == 0
    assert value(families, "bonghwa_self_test_delivery_seconds") == 71.5
    assert value(families, "bonghwa_self_test_timestamp_seconds") == pytest.approx(began.timestamp())


def test_names_follow_the_conventions(client: Client, redis_client: redis.Redis) -> None:
    world.publish(redis_client)
    SelfTest.objects.create(started_at=timezone.now(), state=SelfTestState.PASSED, delivered_after_s=1.0)
    report(redis_client, "web-a", closes={"1000": 1})

    for family in scraped(client).values():
        assert re.fullmatch(r"bonghwa_[a-z0-9_]+", family.name)
        assert family.documentation
        assert not re.search(r"_(ms|s|kb|mb|milliseconds)$", family.name), "base units only"
        totals = {sample.name.endswith("_total") for sample in family.samples}
        assert totals <= {family.type == "counter"}, family.name


def test_a_value_that_nobody_measured_is_left_out(client: Client, redis_client: redis.Redis) -> None:
    world.publish(redis_client, lag_ms=None, last_row_at=None)

    families = scraped(client)

    assert families["bonghwa_gateway_bus_lag_seconds"].samples == []
    assert families["bonghwa_gateway_last_row_timestamp_seconds"].samples == []
    assert families["bonghwa_feed_connections"].samples == []


def test_a_report_of_a_newer_version_is_read(client: Client, redis_client: redis.Redis) -> None:
    raw = {"process": "web-a", "at": time.time(), "connections": 2, "from_the_future": {"x": 1}}
    redis_client.set(keys.FEED.format(process="web-a"), orjson.dumps(raw), ex=60)

    assert value(scraped(client), "bonghwa_feed_connections", process="web-a") == 2
