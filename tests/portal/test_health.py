"""``/health`` touches nothing; ``/health/ready`` says which dependency is missing."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import pytest
import redis
from django.test import Client
from pytest_django.fixtures import Settings

from gateway import keys
from gateway.status import FeedState
from portal import heartbeat
from portal.health import Part, Readiness, check, summarise
from tests.dashboard import world
from tests.services import free_port


@pytest.fixture
def beating(redis_client: redis.Redis) -> redis.Redis:
    for name in ("beat", "worker:collect@box", "worker:ops@box"):
        heartbeat.write(name, redis_client)
    world.publish(redis_client)
    return redis_client


def test_health_answers_before_host_checks_and_redirects(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/health", HTTP_HOST="203.0.113.9")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


async def test_the_asgi_application_answers_health_itself() -> None:
    application: Any = import_module("portal.asgi").application
    sent = []

    async def receive() -> dict[str, str]:
        raise AssertionError("health reads nothing")

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await application({"type": "http", "path": "/health", "method": "GET", "headers": []}, receive, send)

    assert sent[0]["status"] == 200
    assert sent[1]["body"] == b'{"status":"ok"}'


@pytest.mark.django_db
def test_ready_is_green_when_everything_answers(client: Client, beating: redis.Redis) -> None:
    answer = client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert set(answer.json()["checks"]) == {
        *("database", "redis", "beat", "worker_collect", "worker_ops", "feed")
    }


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["beat", "worker:collect@box", "worker:ops@box"])
def test_ready_fails_when_a_heartbeat_is_missing_or_old(beating: redis.Redis, name: str) -> None:
    part = name.partition("@")[0].replace(":", "_")
    beating.delete(keys.HEARTBEAT.format(name=name))
    assert check()[part].detail == "no heartbeat"

    beating.set(keys.HEARTBEAT.format(name=name), time.time() - 300)
    silent = check()[part]
    assert (silent.ok, silent.detail) == (False, "silent")
    assert summarise(check()) == ("failing", 503)


@pytest.mark.django_db
def test_a_reconnecting_feed_degrades_and_a_missing_gateway_fails(beating: redis.Redis) -> None:
    world.publish(beating, FeedState.RECONNECTING)
    assert summarise(check()) == ("degraded", 200)

    beating.delete(keys.STATUS.format(slot="key-1"))
    assert check()["feed"].detail == "no gateway runs"
    assert summarise(check()) == ("failing", 503)


@pytest.mark.django_db
def test_ready_tells_that_redis_is_gone(settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"

    answer = Readiness().respond()

    assert answer.status_code == 503
    assert b'"redis":{"ok":false' in answer.content
    assert b"unknown: Redis does not answer" in answer.content


def test_only_optional_parts_may_fail_without_failing_the_whole() -> None:
    good, bad = Part(True, ""), Part(False, "")

    assert summarise({"a": good}) == ("ok", 200)
    assert summarise({"a": good, "b": bad}) == ("failing", 503)
    assert summarise({"a": good, "b": Part(False, "", optional=True)}) == ("degraded", 200)
