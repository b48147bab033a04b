"""The outbox to a real receiver: one message for each event, whatever fails on the way."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from incidents import notifications, registry, services, tasks
from incidents.models import (
    Channel,
    Delivery,
    DeliveryState,
    EvidenceKind,
    Notification,
    Report,
    TimelineKind,
)
from incidents.registry import Captured
from tests.incidents.conftest import FINGERPRINT, after, fire
from tests.incidents.hook import receiver
from tests.incidents.measured import LOGS, METRICS
from tests.services import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english")]

OPENED = "[Warning] INC-1 api-gateway: 헬스체크 연속 실패"
RESOLVED = "[Resolved] INC-1 api-gateway: 헬스체크 연속 실패"


def deliver(hook, seconds, *more):
    return notifications.deliver(now=after(seconds), urls=[hook.url, *more], chance=lambda: 0.5)


def told(incident, kind):
    return [row.data["text"] for row in incident.timeline.filter(kind=kind)]


def test_an_incident_sends_one_message_when_it_opens_and_one_when_it_resolves(hook):
    incident = fire().incident
    assert deliver(hook, 19) == 0
    assert deliver(hook, 20) == 1
    fire("cpu|api-gateway", title="CPU", at=after(21))
    for key in ("health|api-gateway", "cpu|api-gateway"):
        services.clear(fingerprint=FINGERPRINT, key=key, at=after(30))
    services.resolve_green(now=after(50))
    assert [deliver(hook, seconds) for seconds in (50, 55, 500)] == [1, 0, 0]

    assert hook.titles == [OPENED, RESOLVED]
    assert hook.calls == 2
    assert told(incident, TimelineKind.NOTIFIED) == ["JSON #1", "JSON #1"]


def test_the_messages_hold_the_measured_values_the_times_and_the_link(hook, settings):
    settings.PUBLIC_URL = "https://ops.example"
    fire()
    deliver(hook, 20)
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(100))
    services.resolve_green(now=after(190))
    deliver(hook, 190)

    opened, resolved = hook.bodies
    assert "- 헬스체크 연속 실패 (measured 397회, limit 3회)" in opened
    assert "Since: 2026-11-23 09:15:00 (KST)" in opened
    assert "Link: https://ops.example/incidents/1/" in opened
    assert "It lasted 3 min 10 s." in resolved
    assert "Resolved: 2026-11-23 09:18:10 (KST)" in resolved


def test_a_channel_that_fails_at_first_gets_the_message_once_after_growing_waits(hook):
    incident = fire().incident
    hook.answers = [500, 503]
    waits = []
    for seconds in (20, 24, 25, 39, 40, 60):
        deliver(hook, seconds)
        waits.append(hook.calls)

    assert waits == [1, 1, 2, 2, 3, 3]
    assert hook.titles == [OPENED]
    assert Notification.objects.get().state == DeliveryState.SENT
    sent = Delivery.objects.get()
    assert (sent.state, sent.attempts, sent.last_error) == (DeliveryState.SENT, 3, "")
    assert told(incident, TimelineKind.NOTIFY_FAILED) == []


def test_it_gives_up_after_five_tries_and_says_so(hook, caplog):
    incident = fire().incident
    hook.answers = [500] * 100
    for seconds in range(20, 2_000, 5):
        deliver(hook, seconds)

    message = Notification.objects.get()
    assert (hook.calls, message.state) == (5, DeliveryState.FAILED)
    assert told(incident, TimelineKind.NOTIFY_FAILED) == ["JSON #1 did not take it"]
    assert "given up after 5 tries" in caplog.text


def test_a_channel_that_took_the_message_is_not_asked_again_for_another_s_sake(hook):
    fire()
    with receiver() as second:
        second.answers = [500, 500]
        for seconds in (20, 25, 40):
            deliver(hook, seconds, second.url)

        assert (hook.calls, second.calls) == (1, 3)
        assert hook.titles == second.titles == [OPENED]


def test_the_resolving_message_waits_for_the_opening_one(hook):
    fire()
    hook.answers = [500]
    deliver(hook, 20)
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(1))
    services.resolve_green(now=after(21))
    assert [deliver(hook, seconds) for seconds in (22, 25, 30)] == [0, 2, 0]
    assert hook.titles == [OPENED, RESOLVED]


def claimed_and_lost(seconds):
    """Leave a delivery as a worker does that dies between its claim and the answer of the channel."""
    Delivery.objects.update(state=DeliveryState.SENDING, attempts=1, claimed_at=after(seconds))


def test_a_message_whose_worker_died_while_sending_is_not_sent_twice(hook):
    incident = fire().incident
    hook.answers = [500]
    deliver(hook, 20)
    claimed_and_lost(25)
    runs = [deliver(hook, seconds) for seconds in (30, 84, 86, 500)]

    assert (runs, hook.calls) == ([0, 0, 0, 0], 1)
    assert Delivery.objects.get().state == DeliveryState.UNCERTAIN
    assert told(incident, TimelineKind.NOTIFY_FAILED) == ["JSON #1: nobody saw whether it arrived"]


def test_the_next_channel_is_told_of_a_message_whose_end_nobody_saw(hook):
    fire()
    hook.answers = [500]
    deliver(hook, 20)
    claimed_and_lost(25)
    with receiver() as second:
        Channel.objects.update(position=1)
        runs = [deliver(hook, seconds, second.url) for seconds in (86, 90)]

        assert (sum(runs), second.titles, hook.calls) == (1, [OPENED], 1)


def test_without_a_channel_every_page_says_so_and_the_message_waits_for_one(hook, settings, admin_client):
    incident = fire().incident
    settings.NOTIFY_URLS = []
    notifications.deliver(now=after(20), urls=settings.NOTIFY_URLS)

    assert Notification.objects.get().state == DeliveryState.NO_CHANNEL
    assert told(incident, TimelineKind.NOTIFY_FAILED) == ["no channel is configured"]
    for name in ("dashboard", "incidents", "checklist", "admin:incidents_incident_changelist"):
        assert admin_client.get(reverse(name)).context["portal"]["notices"].no_channel is True

    settings.NOTIFY_URLS = [hook.url]
    assert admin_client.get(reverse("dashboard")).context["portal"]["notices"].no_channel is False
    assert [deliver(hook, seconds) for seconds in (60, 65)] == [1, 0]
    assert hook.titles == [OPENED]


def test_a_message_without_a_channel_is_not_sent_once_its_incident_is_over(hook):
    fire()
    notifications.deliver(now=after(20), urls=[])
    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=after(21))
    services.resolve_green(now=after(41))
    deliver(hook, 60)

    assert hook.titles == [RESOLVED]


def test_no_address_is_ever_logged_or_stored(hook, caplog):
    caplog.set_level(logging.DEBUG)
    incident = fire().incident
    hook.answers = [500, 200]
    dead = f"json://ops:s3cret-word@127.0.0.1:{free_port()}/s3cret-path"
    for seconds in (20, 25):
        deliver(hook, seconds, dead, "nonsense://s3cret-word@host/s3cret-path")
    assert hook.titles == [OPENED]

    rows = (*Notification.objects.values(), *Delivery.objects.values(), *Channel.objects.values())
    kept = repr(rows) + repr(list(incident.timeline.values()))
    assert "s3cret" not in caplog.text + kept
    assert caplog.text.count("address 3 is not understood") == 1


def seed_evidence(_services, _now):
    yield Captured(kind=EvidenceKind.METRICS, subject="api-gateway", data=METRICS)
    yield Captured(kind=EvidenceKind.LOGS, subject="api-gateway", data=LOGS)


def broken(_services, _now):
    raise OSError("the runtime went away")


def killed(_services, _now):
    raise SystemExit(1)


def test_the_freeze_adds_its_finding_and_lets_the_message_go_at_once(hook, monkeypatch):
    monkeypatch.setitem(registry._collectors, "seed", seed_evidence)
    now = timezone.now()
    incident = fire(at=now).incident
    tasks.freeze(incident.pk)
    tasks.freeze(incident.pk)

    assert notifications.deliver(now=now + timedelta(seconds=19), urls=[hook.url]) == 1
    assert "- Endless retry loop of the WebSocket connection (99% of the log)" in hook.bodies[0]
    assert "CPU 102.80%, memory 10.23 GB" in hook.bodies[0]
    assert incident.evidence.filter(kind=EvidenceKind.METRICS).count() == 1


@pytest.mark.parametrize("collector", [broken, killed])
def test_the_message_goes_out_though_freezing_fails(hook, monkeypatch, collector):
    monkeypatch.setitem(registry._collectors, "fails", collector)
    now = timezone.now()
    incident = fire(at=now).incident
    if collector is killed:
        with pytest.raises(SystemExit):
            tasks.freeze(incident.pk)
    else:
        tasks.freeze(incident.pk)
        failed = incident.timeline.get(kind=TimelineKind.EVIDENCE, data__collector="fails")
        assert failed.data["error"] == "OSError: the runtime went away"
        assert Report.objects.filter(incident=incident).exists()

    assert notifications.deliver(now=now + timedelta(seconds=19), urls=[hook.url]) == 1
    assert hook.titles == [OPENED]


def test_the_task_delivers_when_redis_is_gone(hook, settings):
    settings.NOTIFY_URLS = [hook.url]
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    fire(at=timezone.now() - timedelta(seconds=60))
    tasks.deliver()
    assert hook.titles == [OPENED]


def test_a_second_run_of_the_task_leaves_the_first_alone(hook, settings, redis_client):
    settings.NOTIFY_URLS = [hook.url]
    fire(at=timezone.now() - timedelta(seconds=60))
    with tasks.only_one("incidents.deliver", 30) as won:
        assert won
        tasks.deliver()
        assert hook.calls == 0
    tasks.deliver()
    assert hook.calls == 1
