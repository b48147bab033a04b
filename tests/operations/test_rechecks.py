"""What changed is looked at soon: started containers, new configurations, edited rules, one failure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from incidents.models import ChecklistItem, ItemState, Outcome, RunTrigger
from portal.monitoring.models import ConfigSnapshot, EventAction, Rule, RuntimeKind, Service, ServiceEvent
from portal.operations import causes, rechecks, tasks
from tests.operations.conftest import known

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MINUTE = timedelta(minutes=1)


def item(target: str = "api-gateway", verifier: str = "docker.limits", **given: Any) -> ChecklistItem:
    """A verified item that was last known ten minutes ago."""
    seen = {"checked_at": NOW - 10 * MINUTE, "known_at": NOW - 10 * MINUTE, "state": ItemState.VERIFIED}
    return ChecklistItem.objects.create(text=target, target=target, verifier=verifier, **(seen | given))


def started(service: Service, at: datetime) -> None:
    ServiceEvent.objects.create(
        service=service, runtime=RuntimeKind.DOCKER, key=f"{at}", name=service.name, at=at,
        action=EventAction.START,
    )  # fmt: skip


def configured(service: Service, at: datetime, **config: Any) -> None:
    ConfigSnapshot.objects.create(
        service=service, content_hash=f"{at}", config=config, first_at=at, last_at=at
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"target": "other"}, False),
        ({"known_at": NOW, "checked_at": NOW - MINUTE}, False),
        ({"checked_at": NOW - timedelta(seconds=10)}, False),
        ({"checked_at": NOW - MINUTE}, True),
        ({"state": ItemState.WAIVED}, False),
        ({"verifier": ""}, False),
        ({"verifier": "alert.armed"}, False),
    ],
    ids=["after", "another's", "known since", "just looked", "looked in vain", "waived", "none", "of rules"],
)
def test_an_item_is_looked_at_when_its_container_was_started_after_it_was_known(
    given: dict[str, Any], expected: bool
) -> None:
    Rule.history.all().delete()
    started(known("id"), NOW - 2 * MINUTE)
    one = item(**given)
    assert rechecks.due(NOW) == ([one] if expected else [])


def test_a_new_configuration_counts_and_one_of_long_ago_does_not() -> None:
    service = known("id")
    one = item()
    configured(service, NOW - timedelta(hours=2))
    assert rechecks.due(NOW) == []
    configured(service, NOW - MINUTE)
    assert rechecks.due(NOW) == [one]


def test_an_edited_rule_has_the_items_of_rules_looked_at() -> None:
    now = timezone.now() + MINUTE
    Rule.history.all().delete()
    one = item(verifier="alert.armed")
    assert rechecks.due(now) == []
    rule = Rule.objects.all()[0]
    rule.enabled = not rule.enabled
    rule.save()
    assert rechecks.due(now) == [one]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"failures": 1}, True),
        ({"failures": 1, "state": ItemState.CLAIMED}, True),
        ({"failures": 2, "state": ItemState.FAILING}, False),
        ({"checked_at": None, "known_at": None, "state": ItemState.OPEN}, True),
    ],
    ids=["failed once", "claimed, failed once", "told already", "never checked"],
)
def test_one_failure_and_a_new_item_are_looked_at_soon(given: dict[str, Any], expected: bool) -> None:
    assert bool([item(**given)] == rechecks.due(NOW)) is expected


def test_how_many_are_looked_at_is_bounded_the_longest_unchecked_first() -> None:
    started(known("id"), NOW - MINUTE)
    items = [item(checked_at=NOW - (10 + n) * MINUTE) for n in range(rechecks.BATCH + 5)]
    assert rechecks.due(NOW) == items[::-1][: rechecks.BATCH]


def test_what_changed_between_two_looks_is_the_configuration_s_difference() -> None:
    service = known("id")
    configured(service, NOW - 60 * MINUTE, limits={"memory_bytes": 2**31}, image="a")
    since = NOW - 30 * MINUTE
    assert causes.of_configuration("docker.limits", "api-gateway", since, NOW) == []

    configured(service, NOW - 20 * MINUTE, limits={"memory_bytes": None}, image="a")
    (change,) = causes.of_configuration("docker.limits", "api-gateway", since, NOW)
    assert (change.what, change.before, change.after) == ("limits.memory_bytes", str(2**31), "")
    assert causes.of_configuration("docker.limits", "other", since, NOW) == []
    assert causes.of_configuration("docker.limits", "api-gateway", NOW - 10 * MINUTE, NOW) == []


def test_who_changed_which_rule_is_told_for_verifiers_of_rules(django_user_model) -> None:
    rule: Any = Rule.objects.filter(enabled=True)[0]
    rule.save()
    since = timezone.now()
    rule.enabled = False
    rule._history_user = django_user_model.objects.create_user("kim")
    rule.save()
    (change,) = causes.of_rules("alert.armed", "web", since, timezone.now())

    assert change.what == f"{rule.name}.enabled (kim)"
    assert (change.before, change.after) == ("True", "False")
    assert causes.of_rules("docker.limits", "web", since, timezone.now()) == []


def test_the_beat_s_task_looks_and_says_that_a_change_was_the_reason(redis_client) -> None:
    one = item(target="nobody", checked_at=None, known_at=None, state=ItemState.OPEN)
    tasks.recheck()
    run = one.runs.get()
    assert (run.outcome, run.trigger) == (Outcome.UNKNOWN, RunTrigger.CHANGE)
    task = PeriodicTask.objects.get(task="operations.recheck")
    assert (task.queue, task.expire_seconds, task.interval.every) == ("ops", 30, 30)
