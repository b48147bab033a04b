"""Who is told: language, severity, services, hours, the next channel, reminders, changes."""

from __future__ import annotations

from datetime import time

import pytest
from django.db import IntegrityError

from incidents import followups, notifications, services
from incidents.models import Channel, Delivery, DeliveryState, Notification, NotificationKind, Severity
from tests.incidents.conftest import FINGERPRINT, NOW, after, channel, fire

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("english", "loopback_is_listed"),
]
#: 09:15 KST on a Monday.
MORNING = NOW
HOUR = 3_600.0


def run(seconds, urls=()):
    """What the task does at this second."""
    followups.remind(now=after(seconds))
    followups.tell_changes(now=after(seconds))
    return notifications.deliver(now=after(seconds), urls=urls, chance=lambda: 0.5)


def kinds(hook):
    return [title.partition("]")[0] + "]" for title in hook.titles]


def green(seconds, *keys):
    for key in keys or ("health|api-gateway",):
        services.clear(fingerprint=FINGERPRINT, key=key, at=after(seconds))
    services.resolve_green(now=after(seconds + 20))


def test_each_channel_is_told_in_its_language(hook, other):
    channel(hook, "night shift")
    channel(other, "운영팀", language="ko")
    fire()
    run(20)

    assert "Since: 2026-11-23 09:15:00 (KST)" in hook.bodies[0]
    assert "Since" not in other.bodies[0]
    assert "2026-11-23 09:15:00 (KST)" in other.bodies[0]


def test_a_channel_hears_of_its_severity_and_services_only(hook, other):
    channel(hook, "critical", min_severity=Severity.CRITICAL)
    channel(other, "gateways", services="frontend, api-*")
    fire()
    fire("x", fingerprint="service:docker:redis", service="redis", title="redis is down")
    run(20)

    assert (len(hook.titles), len(other.titles)) == (0, 1)
    assert "api-gateway" in other.titles[0]


def test_a_message_that_no_channel_wants_says_so_once(hook):
    channel(hook, "critical", min_severity=Severity.CRITICAL)
    incident = fire().incident
    runs = [run(seconds) for seconds in (20, 25, 30)]

    assert (runs, Notification.objects.get().state) == ([0, 0, 0], DeliveryState.NO_CHANNEL)
    failed = incident.timeline.filter(kind="notify_failed")
    assert [event.data["text"] for event in failed] == ["no channel is for it"]


def test_an_incident_that_gets_critical_is_told_at_once_where_only_critical_ones_are(hook, other):
    channel(hook, "all")
    channel(other, "critical", min_severity=Severity.CRITICAL)
    fire()
    run(20)
    assert other.titles == []
    fire("oom", severity=Severity.CRITICAL, title="OOM", at=after(40))
    run(45)

    assert (len(hook.titles), len(other.titles)) == (1, 1)


@pytest.mark.parametrize(
    ("hours", "seconds", "on_duty"),
    [
        ((time(9), time(18)), 0, True),
        ((time(9), time(18)), 9 * HOUR, False),
        ((time(22), time(6)), 0, False),
        ((time(22), time(6)), 14 * HOUR, True),
        ((time(22), time(6)), 20 * HOUR, True),
        ((None, None), 0, True),
    ],
)
def test_working_hours_are_those_of_the_portals_zone_and_may_pass_midnight(hours, seconds, on_duty):
    row = Channel(hours_from=hours[0], hours_to=hours[1])
    assert row.is_on_duty(after(seconds)) is on_duty


def test_a_weekend_is_no_working_day():
    row = Channel(weekdays_only=True)
    assert [row.is_on_duty(after(day * 24 * HOUR)) for day in (0, 4, 5, 6, 7)] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_off_duty_channels_are_told_only_when_nobody_is_on_duty(hook, other):
    channel(hook, "day", hours_from=time(9), hours_to=time(18))
    channel(other, "night", hours_from=time(18), hours_to=time(9))
    fire()
    run(20)
    assert (len(hook.titles), len(other.titles)) == (1, 0)

    Channel.objects.filter(name="day").update(enabled=False)
    fire("x", fingerprint="service:docker:redis", service="redis")
    run(25)
    assert len(other.titles) == 2, "the one on duty is gone: both incidents are told"


def test_after_the_last_try_the_next_channel_is_told(hook, other):
    channel(hook, "first")
    channel(other, "second", step=3, position=1)
    incident = fire().incident
    hook.answers = [500] * 20
    for seconds in range(20, 300, 5):
        notifications.deliver(now=after(seconds), urls=[], chance=lambda: 0.5)

    assert (hook.calls, hook.titles, len(other.titles)) == (5, [], 1)
    states = Delivery.objects.values_list("label", "state", "instead")
    assert list(states) == [("first", "failed", False), ("second", "sent", True)]
    (failed,) = incident.timeline.filter(kind="notify_failed")
    assert failed.data["text"] == "first did not take it → second"


def test_a_silent_incident_is_reminded_of_and_escalated_until_somebody_takes_it(hook, other):
    channel(hook, "team")
    channel(other, "lead", step=2)
    incident = fire().incident
    told = []
    for seconds in (20, 299, 300, 305, 899, 900, 905):
        run(seconds)
        told.append((len(hook.titles), len(other.titles)))
    services.acknowledge(incident=incident, at=after(1_000))
    run(1_800)

    assert told == [(1, 0), (1, 0), (2, 0), (2, 0), (2, 0), (3, 1), (3, 1)]
    assert (len(hook.titles), len(other.titles)) == (3, 1)
    assert kinds(hook)[1:] == ["[Warning, unacknowledged]"] * 2
    assert "Nobody has acknowledged it for 15 min 0 s (reminder 2)." in other.bodies[0]


def test_reminders_end_after_five_and_an_outbox_that_stood_still_does_not_catch_up(hook):
    channel(hook, "team")
    fire()
    run(20)
    run(2_000)
    assert kinds(hook) == ["[Warning]", "[Warning, unacknowledged]"]
    for hours in range(1, 60):
        run(hours * HOUR)

    reminders = Notification.objects.filter(kind=NotificationKind.REMINDER)
    assert list(reminders.order_by("pk").values_list("sequence", flat=True)) == [3, 4, 5]


def test_a_reminder_that_was_not_sent_is_dropped_when_somebody_takes_the_incident(hook):
    channel(hook, "team")
    incident = fire().incident
    run(20)
    hook.answers = [500]
    run(300)
    services.acknowledge(incident=incident, at=after(301))
    run(310)

    assert len(hook.titles) == 1
    assert list(Delivery.objects.values_list("state", flat=True)) == ["sent", "cancelled"]


def test_what_changes_later_is_one_message_in_five_minutes(hook):
    channel(hook, "team")
    incident = fire().incident
    run(20)
    services.acknowledge(incident=incident, at=after(25))
    fire("cpu", title="CPU", at=after(30))
    for key, service in (("a", "frontend"), ("b", "worker")):
        fire(key, service=service, severity=Severity.CRITICAL, at=after(60))
    for seconds in (65, 200, 299, 300, 305, 400, 700):
        run(seconds)

    assert kinds(hook) == ["[Warning]", "[Critical, changed]"]
    assert "Severity: Warning → Critical." in hook.bodies[1]
    assert "Now affected too: frontend, worker." in hook.bodies[1]


def test_more_alerts_on_the_same_service_send_nothing(hook):
    channel(hook, "team")
    incident = fire().incident
    services.acknowledge(incident=incident, at=after(5))
    for number in range(20):
        fire(f"key {number}", at=after(10 + number))
    for seconds in range(20, 1_200, 60):
        run(seconds)

    assert len(hook.titles) == 1


def test_the_end_is_told_where_the_beginning_was(hook, other):
    channel(hook, "team")
    channel(other, "lead", step=1)
    fire()
    run(20)
    green(100)
    run(130)

    assert (kinds(hook), other.titles) == (["[Warning]", "[Resolved]"], [])


def test_the_database_refuses_a_second_delivery_of_a_message_to_a_channel(hook):
    row = channel(hook, "team")
    fire()
    run(20)
    with pytest.raises(IntegrityError):
        Delivery.objects.create(
            message=Notification.objects.get(), channel=row, label="x", next_attempt_at=MORNING
        )


def test_an_address_that_became_internal_is_not_called(hook, settings):
    channel(hook, "team")
    settings.CHANNEL_INTERNAL_TARGETS = []
    fire()
    run(20)

    assert hook.calls == 0
    assert "internal network" in Delivery.objects.get().last_error


def test_an_address_that_no_key_opens_fails_with_that_sentence(hook, settings):
    channel(hook, "team")
    settings.SECRET_KEY = "another key " * 4
    fire()
    run(20)

    assert (hook.calls, Delivery.objects.get().state) == (0, DeliveryState.FAILED)
    assert "enter it again" in Delivery.objects.get().last_error
