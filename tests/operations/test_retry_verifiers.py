"""Retries as they were made decide, and what the gateway cannot tell is unknown."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis
from django.conf import settings
from django.utils import timezone

from gateway import keys
from gateway.config import RetryConfig
from gateway.status import Attempt, FeedState, GatewayStatus
from incidents.models import Outcome
from incidents.registry import verifiers
from portal.monitoring.models import LogTemplate, RunState, RuntimeKind, Service, ServiceState
from portal.operations.retry_verifiers import attempt_limit, backoff, quick_retries, retry_level

pytestmark = pytest.mark.django_db

BACKOFF = {"first_s": 1.0, "most_s": 300.0}
SANE = RetryConfig()


def attempts(*delays: float, outcome: str = "timeout") -> list[Attempt]:
    """Failed attempts with the waits before them, newest first."""
    made = [
        Attempt(at=float(n), number=n, delay_before=delay, outcome=outcome)
        for n, delay in enumerate(delays, 1)
    ]
    return made[::-1]


def told(client: redis.Redis, policy: RetryConfig | None = SANE, *delays: float, **changes: Any) -> None:
    """Let every configured slot tell ``policy`` and attempts after ``delays``."""
    for key in settings.GATEWAY_UPSTREAM.keys:
        status = GatewayStatus(
            slot=key.slot,
            at=timezone.now().timestamp(),
            session="BACKOFF",
            feed=FeedState.RECONNECTING,
            since=0.0,
            retry=asdict(policy) if policy else None,
        )
        client.set(keys.STATUS.format(slot=key.slot), replace(status, **changes).encode())
        for attempt in reversed(attempts(*delays)):
            client.lpush(keys.ATTEMPTS.format(slot=key.slot), orjson.dumps(asdict(attempt)))


@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        ((0.0, 0.0, 0.0, 0.0), [0.0, 0.0, 0.0]),
        ((0.0, 0.7, 1.9, 3.5), []),
        ((0.0, 0.0, 2.0, 0.0), [0.0]),
        ((), []),
        ((0.0,), []),
    ],
)
def test_only_retries_that_came_too_soon_one_after_another_count(
    delays: tuple[float, ...], expected: list[float]
) -> None:
    assert quick_retries(attempts(*delays), 0.5) == expected


def test_what_a_person_or_a_stop_ended_is_no_retry() -> None:
    assert quick_retries(attempts(0.0, 0.0, 0.0, 0.0, outcome="held"), 0.5) == []


@pytest.mark.parametrize(
    ("policy", "delays", "outcome"),
    [
        (SANE, (0.0, 0.6, 1.4, 3.0, 5.0), Outcome.PASS),
        (SANE, (), Outcome.PASS),
        (SANE, (0.0, 0.0, 0.0, 0.0), Outcome.FAIL),
        (replace(SANE, base=0.0), (), Outcome.FAIL),
        (replace(SANE, factor=1.0), (), Outcome.FAIL),
        (replace(SANE, cap=3600.0), (), Outcome.FAIL),
        (None, (), Outcome.UNKNOWN),
    ],
    ids=["kept", "no attempt", "not kept", "none", "does not grow", "too long", "older gateway"],
)
def test_backoff_is_what_the_policy_says_and_the_attempts_kept(
    redis_client: redis.Redis, policy: RetryConfig | None, delays: tuple[float, ...], outcome: Outcome
) -> None:
    told(redis_client, policy, *delays)
    verdict = backoff("api-gateway", BACKOFF)
    assert (verdict.outcome, bool(verdict.observed)) == (outcome, True)


@pytest.mark.parametrize(
    ("policy", "status", "outcome"),
    [
        (SANE, {"attempts": 7}, Outcome.PASS),
        (SANE, {"attempts": 101}, Outcome.FAIL),
        (SANE, {"attempts": 101, "feed": FeedState.PARKED}, Outcome.PASS),
        (replace(SANE, attempt_limit=0), {}, Outcome.FAIL),
        (replace(SANE, attempt_limit=5000), {}, Outcome.FAIL),
    ],
    ids=["within", "beyond", "parked", "none", "too many"],
)
def test_the_attempt_limit_is_what_the_policy_says_and_the_session_keeps(
    redis_client: redis.Redis, policy: RetryConfig, status: dict[str, Any], outcome: Outcome
) -> None:
    told(redis_client, policy, **status)
    assert attempt_limit("", {"attempts": 100}).outcome is outcome


def test_without_a_gateway_or_redis_nothing_is_known(redis_client: redis.Redis, monkeypatch) -> None:
    none = [backoff("", BACKOFF), attempt_limit("", {"attempts": 100})]
    dead = redis.Redis(port=1, socket_connect_timeout=1)
    monkeypatch.setattr("portal.operations.retry_verifiers.store.client", lambda: dead)
    away = [backoff("", BACKOFF), attempt_limit("", {"attempts": 100})]

    assert {verdict.outcome for verdict in none + away} == {Outcome.UNKNOWN}
    assert none[0].observed != away[0].observed


def logging_service(template: str, sample: str, per_minute: int, **state: Any) -> Service:
    """A service whose log has ``per_minute`` lines of one template in each of the last ten minutes."""
    now = timezone.now()
    service = Service.objects.create(runtime=RuntimeKind.DOCKER, name="api-gateway", discovered_at=now)
    given = {"at": now, "state": RunState.RUNNING, "log_lines_per_s": 1.0} | state
    ServiceState.objects.create(service=service, **given)
    newest = int(now.timestamp() // 60)
    minutes = {str(newest - n): per_minute for n in range(10)}
    LogTemplate.objects.create(
        service=service,
        fingerprint="x",
        template=template,
        sample=sample,
        count=10 * per_minute,
        minutes=minutes,
        first_seen=now,
        last_seen=now,
    )
    return service


@pytest.mark.parametrize(
    ("template", "sample", "per_minute", "outcome"),
    [
        (
            "Reconnection failed after <n> attempts",
            "Reconnection failed after 5 attempts",
            22_000,
            Outcome.FAIL,
        ),
        ("<t> WARNING reconnecting in <n> s", "09:00 WARNING reconnecting in 8 s", 2, Outcome.PASS),
        ("<t> INFO reconnecting in <n> s", "09:00 INFO reconnecting in 8 s", 2, Outcome.FAIL),
        ("<t> INFO GET /health <n>", "09:00 INFO GET /health 200", 600, Outcome.PASS),
        ("재연결 시도 <n>", "재연결 시도 7", 30, Outcome.FAIL),
    ],
    ids=["the seed's flood", "rare warnings", "rare, but as information", "other lines", "Korean"],
)
def test_the_rate_and_the_level_of_retry_lines_decide(
    template: str, sample: str, per_minute: int, outcome: Outcome
) -> None:
    logging_service(template, sample, per_minute)
    assert retry_level("api-gateway", {"lines_per_min": 10.0}).outcome is outcome


@pytest.mark.parametrize(
    "state",
    [
        {"state": RunState.EXITED},
        {"state": RunState.UNKNOWN},
        {"error": "no answer"},
        {"log_lines_per_s": None},
        {"at": timezone.now() - timedelta(hours=1)},
    ],
)
def test_a_log_that_is_not_read_is_unknown(state: dict[str, Any]) -> None:
    logging_service("retry <n>", "WARNING retry 1", 1, **state)
    verdict = retry_level("api-gateway", {"lines_per_min": 10.0})
    assert (verdict.outcome, verdict.gone) == (Outcome.UNKNOWN, False)
    assert retry_level("nobody", {"lines_per_min": 10.0}).gone


def test_every_verifier_has_a_form_for_its_parameters() -> None:
    forms = {name: {field.name for field in one.parameters} for name, one in verifiers().items()}
    given = {name: set(one.defaults) for name, one in verifiers().items()}
    assert forms == given
