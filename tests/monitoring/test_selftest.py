"""The self-test goes the real way to a real receiver, says how long it took, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from incidents import tasks as incident_tasks
from incidents.models import DeliveryState, Evidence, Incident, Notification, Report
from portal.dashboard import queries
from portal.monitoring import selftest
from portal.monitoring.models import Alert, Rule, SelfTest, SelfTestState
from tests.dashboard import world
from tests.incidents.hook import Hook, receiver

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("redis_client"),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),
]


@pytest.fixture
def hook(settings) -> Iterator[Hook]:
    """A receiver that the settings name."""
    with receiver() as found:
        settings.NOTIFY_URLS = [found.url]
        yield found


def work() -> None:
    """What the ops worker does for the newest incident."""
    incident_tasks.freeze(Incident.objects.latest("number").pk)
    incident_tasks.deliver()


def test_the_message_arrives_and_the_time_is_kept(hook: Hook) -> None:
    test = selftest.start(now=timezone.now())
    assert selftest.settle(timezone.now()) == []
    work()

    (settled,) = selftest.settle(timezone.now())

    assert settled.pk == test.pk
    stored = SelfTest.objects.get()
    assert stored.state == SelfTestState.PASSED
    assert stored.delivered_after_s is not None
    assert 0 <= (stored.incident_after_s or 0) <= stored.delivered_after_s < selftest.LIMIT_S
    assert "bonghwa-self-test" in hook.titles[0]
    assert "bonghwa-self-test" in hook.bodies[0]


def test_nothing_of_it_stays_open_or_counts(hook: Hook, client: Client) -> None:
    selftest.start(now=timezone.now())
    assert queries.incidents() == (), "not even while it runs"
    assert "outage" not in client.get("/status/", headers={"accept-language": "en"}).content.decode()
    work()
    selftest.settle(timezone.now())

    incident = Incident.objects.get()
    assert (incident.is_open, incident.is_exercise) == (False, True)
    assert not Alert.objects.filter(closed_at=None).exists()
    assert (Evidence.objects.count(), Report.objects.count()) == (0, 0)
    client.force_login(world.person("alice", "viewer"))
    for path in ("/", "/incidents/"):
        assert "bonghwa-self-test" not in client.get(path).content.decode()
    assert client.get(incident.get_absolute_url()).status_code == 200, "the message's link works"


def test_a_message_that_took_too_long_fails_though_it_arrived(hook: Hook) -> None:
    selftest.start(now=timezone.now() - timedelta(seconds=selftest.LIMIT_S + 1))
    work()
    (test,) = selftest.settle(timezone.now())
    assert test.state == SelfTestState.LATE
    assert (test.delivered_after_s or 0) > selftest.LIMIT_S


def test_without_a_channel_it_fails_and_says_so() -> None:
    selftest.start(now=timezone.now())
    work()
    (test,) = selftest.settle(timezone.now())
    assert test.state == SelfTestState.FAILED
    assert test.detail
    assert not Incident.objects.get().is_open


def test_a_message_that_nobody_delivers_fails_after_its_time(hook: Hook) -> None:
    now = timezone.now()
    selftest.start(now=now)
    assert selftest.settle(now + selftest.GIVE_UP - timedelta(seconds=1)) == []
    (test,) = selftest.settle(now + selftest.GIVE_UP)
    assert test.state == SelfTestState.FAILED
    assert Notification.objects.filter(state=DeliveryState.PENDING).exists()
    assert hook.titles == []


def test_a_switched_off_rule_is_a_failure_at_once(hook: Hook) -> None:
    Rule.objects.filter(name="alarm-self-test").update(enabled=False)
    test = selftest.start(now=timezone.now())
    assert test.state == SelfTestState.FAILED
    assert "self-test" in test.detail
    assert not Incident.objects.exists()


def test_one_runs_at_a_time(hook: Hook) -> None:
    selftest.start(now=timezone.now())
    with pytest.raises(selftest.AlreadyRunning):
        selftest.start(now=timezone.now())
    assert SelfTest.objects.count() == 1


def test_a_worker_killed_while_cleaning_up_leaves_it_to_the_next(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    selftest.start(now=timezone.now())
    work()
    with monkeypatch.context() as patch:
        patch.setattr("incidents.services.resolve", lambda **_given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            selftest.settle(timezone.now())
    assert SelfTest.objects.get().state == SelfTestState.RUNNING

    selftest.settle(timezone.now())

    assert SelfTest.objects.get().state == SelfTestState.PASSED
    assert not Incident.objects.get().is_open


def test_the_command_prints_the_result_and_fails_with_it(hook: Hook, monkeypatch) -> None:
    settle = selftest.settle

    def worked(now):
        if not Notification.objects.exclude(delivered_at=None).exists():
            work()
        return settle(now)

    monkeypatch.setattr(selftest, "settle", worked)
    out = StringIO()
    call_command("selftest", "--json", stdout=out)
    assert json.loads(out.getvalue())["state"] == "passed"

    Rule.objects.filter(name="alarm-self-test").update(enabled=False)
    with pytest.raises(CommandError, match="self-test"):
        call_command("selftest", stdout=StringIO())
