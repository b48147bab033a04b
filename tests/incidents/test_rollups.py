"""The cap of a channel: what is above it is held back, counted, and told in one message."""

from __future__ import annotations

import pytest

from incidents import notifications, rollups
from incidents.models import Delivery, DeliveryState, Notification, NotificationKind
from tests.incidents.conftest import after, channel, fire

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english", "loopback_is_listed")]


def storm(count, seconds=0):
    for number in range(count):
        name = f"svc-{seconds}-{number}"
        fire(fingerprint=name, key=name, service=name, title=f"{name} is down", at=after(seconds))


def run(seconds):
    return notifications.deliver(now=after(seconds), urls=[])


def test_a_hundred_incidents_at_once_give_a_capped_channel_its_cap_and_one_count(hook):
    channel(hook, "phone", per_hour=5)
    storm(100)
    for seconds in range(20, 200, 5):
        run(seconds)

    assert len(hook.titles) == 6
    assert hook.titles[5] == "Bonghwa: 95 messages were held back"
    assert "phone takes 5 messages an hour" in hook.bodies[5]
    assert hook.bodies[5].count("INC-") == 10
    assert "… and 85 more" in hook.bodies[5]


def test_what_was_held_back_is_told_once_and_later_ones_in_the_next_roll_up(hook):
    channel(hook, "phone", per_hour=2)
    storm(5)
    for seconds in range(20, 120, 5):
        run(seconds)
    storm(3, seconds=300)
    for seconds in range(320, 1_000, 20):
        run(seconds)

    assert [title for title in hook.titles if "held back" in title] == [
        "Bonghwa: 3 messages were held back",
        "Bonghwa: 3 messages were held back",
    ]
    assert not Delivery.objects.filter(state=DeliveryState.HELD, rolled_up_by=None).exists()


def test_the_cap_is_over_after_an_hour_and_no_other_channel_is_capped(hook, other):
    channel(hook, "phone", per_hour=2)
    channel(other, "mail", per_hour=100)
    storm(4)
    run(20)
    assert (len(hook.titles), len(other.titles)) == (2, 4)
    storm(1, seconds=3_700)
    run(3_720)

    assert any("svc-3700-0" in title for title in hook.titles)


def test_old_roll_ups_are_deleted_and_messages_of_incidents_stay(hook):
    channel(hook, "phone", per_hour=1)
    storm(3)
    for seconds in range(20, 120, 5):
        run(seconds)
    assert Notification.objects.filter(kind=NotificationKind.ROLLUP).count() == 1

    assert rollups.prune(after(89 * 86_400)) == 0
    rollups.prune(after(91 * 86_400))
    assert set(Notification.objects.values_list("kind", flat=True)) == {NotificationKind.OPENED}
