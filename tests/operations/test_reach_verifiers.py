"""Alert rules count when they watch the target and a message arrived; probes when they pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from incidents.models import (
    Channel,
    Delivery,
    DeliveryState,
    Notification,
    NotificationKind,
    Outcome,
    Severity,
)
from incidents.services import signal
from portal.monitoring.models import Endpoint, ProbeKind, ProbeResult, Rule, RuleKind, SelfTest, SelfTestState
from portal.operations.reach_verifiers import armed, probes_green
from tests.operations.conftest import known

pytestmark = pytest.mark.django_db

ARMED: dict[str, Any] = {
    "kinds": [RuleKind.CPU.value, RuleKind.MEMORY_NO_LIMIT.value],
    "delivered_days": 30.0,
}


@pytest.fixture
def rules(settings) -> list[Rule]:
    """One rule of each wanted kind for every service; a channel is set."""
    settings.NOTIFY_URLS = []
    Rule.objects.all().delete()
    Channel.objects.create(name="ops")
    return [
        Rule.objects.create(name=kind, kind=kind, open_above=90, close_below=80, service_pattern="*")
        for kind in ARMED["kinds"]
    ]


def delivered(days_ago: float, *, state: str = DeliveryState.SENT, rule: Rule | None = None) -> None:
    """A test message, or one of an incident that ``rule`` opened."""
    at = timezone.now() - timedelta(days=days_ago)
    message = Notification(kind=NotificationKind.TEST, created_at=at, next_attempt_at=at)
    if rule is not None:
        opened = signal(
            fingerprint="x", key=f"rule:{rule.pk}|docker:web", title="CPU", service="web",
            severity=Severity.CRITICAL, detail={}, at=at,
        )  # fmt: skip
        message = opened.incident.notifications.get()
    message.save()
    Delivery.objects.create(message=message, label="ops", state=state, delivered_at=at, next_attempt_at=at)


@pytest.mark.parametrize(
    ("by", "outcome"),
    [
        (lambda rules: delivered(1), Outcome.PASS),
        (lambda rules: delivered(1, rule=rules[0]), Outcome.PASS),
        (
            lambda rules: SelfTest.objects.create(
                started_at=timezone.now(), ended_at=timezone.now(), state=SelfTestState.PASSED
            ),
            Outcome.PASS,
        ),
        (lambda rules: None, Outcome.FAIL),
        (lambda rules: delivered(31), Outcome.FAIL),
        (lambda rules: delivered(1, state=DeliveryState.FAILED), Outcome.FAIL),
    ],
    ids=["a test", "a message of the rule", "a self-test", "nothing", "too long ago", "not delivered"],
)
def test_armed_rules_count_once_a_message_was_delivered(rules: list[Rule], by: Any, outcome: Outcome) -> None:
    by(rules)
    assert armed("api-gateway", ARMED).outcome is outcome


@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"service_pattern": "web*"}, {"opens_incident": False}, {"kind": "tls"}]
)
def test_a_rule_that_does_not_watch_the_target_is_named(rules: list[Rule], change: dict[str, Any]) -> None:
    delivered(1)
    Rule.objects.filter(pk=rules[0].pk).update(**change)
    verdict = armed("api-gateway", ARMED)
    assert verdict.outcome is Outcome.FAIL
    assert str(RuleKind.CPU.label) in verdict.observed


def test_without_a_channel_nobody_is_told(rules: list[Rule]) -> None:
    delivered(1)
    Channel.objects.all().delete()
    assert armed("api-gateway", ARMED).outcome is Outcome.FAIL


def endpoint(ok: bool | None, **changes: Any) -> Endpoint:
    """An endpoint of api-gateway with a result of now."""
    service = known("id") if not Endpoint.objects.exists() else Endpoint.objects.all()[0].service
    given = {"ok": ok, "at": timezone.now(), "detail": "HTTP 502"} | changes
    number = Endpoint.objects.count()
    return Endpoint.objects.create(
        service=service,
        name=f"API {number}",
        kind=ProbeKind.HTTP,
        url=f"http://example.com/{number}",
        **given,
    )


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        ([True, True], Outcome.PASS),
        ([True, False], Outcome.FAIL),
        ([True, None], Outcome.UNKNOWN),
        ([False, None], Outcome.FAIL),
    ],
)
def test_all_endpoints_of_a_service_have_to_pass(results: list[bool | None], outcome: Outcome) -> None:
    for ok in results:
        endpoint(ok)
    assert probes_green("api-gateway", {"minutes": 10.0}).outcome is outcome


def test_a_failure_within_the_time_counts_and_an_old_result_is_unknown() -> None:
    one = endpoint(True)
    for minutes, ok in ((20, False), (5, True)):
        ProbeResult.objects.create(endpoint=one, at=timezone.now() - timedelta(minutes=minutes), ok=ok)
    assert probes_green("api-gateway", {"minutes": 10.0}).outcome is Outcome.PASS
    assert probes_green("API 0", {"minutes": 30.0}).outcome is Outcome.FAIL

    Endpoint.objects.update(stale_at=timezone.now() - timedelta(seconds=1))
    assert probes_green("api-gateway", {"minutes": 10.0}).outcome is Outcome.UNKNOWN
    assert probes_green("nobody", {"minutes": 10.0}).gone
