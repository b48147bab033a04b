"""Reminders of what is late, and the digest of the week: bounded, and once each."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from incidents import duedates, followups, notifications, services
from incidents.models import (
    ChecklistItem,
    ItemState,
    Notification,
    NotificationKind,
    Priority,
    Report,
    Severity,
)
from tests.incidents.conftest import NOW, after, channel, fire

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
#: 23 November 2026 is a Monday; 00:15 UTC is 09:15 in Seoul.
END = NOW + timedelta(minutes=1)


def resolved(**changes):
    return services.resolve(incident=fire(**changes).incident, at=END, force=True)


def measure(incident, text, due, **changes):
    report, _new = Report.objects.get_or_create(
        incident=incident, defaults={"title": "x", "analysed_at": NOW}
    )
    return ChecklistItem.objects.create(report=report, text=text, due=due, priority=Priority.P0, **changes)


@pytest.mark.parametrize(("severity", "day"), [(Severity.CRITICAL, 26), (Severity.WARNING, 30)])
def test_the_report_is_due_by_severity_and_no_more_once_reviewed(severity, day):
    incident = resolved(severity=severity)
    assert duedates.report_due(incident) == date(2026, 11, day)
    services.review(incident=incident, at=after(100))
    assert duedates.report_due(incident) is None


def test_a_late_report_is_reminded_of_once_a_week_and_at_most_six_times():
    incident = resolved(severity=Severity.CRITICAL)
    assert duedates.remind(now=END + 3 * DAY) == []
    for day in range(4, 120):
        duedates.remind(now=END + day * DAY)

    told = Notification.objects.filter(incident=incident, kind=NotificationKind.DUE).order_by("sequence")
    assert [row.created_at for row in told] == [END + day * DAY for day in (4, 11, 18, 25, 32, 39)]
    assert "26" in told[0].content["en"][1]
    assert told[0].content["en"][0].startswith("[Overdue] INC-1")


def test_late_measures_are_in_one_message_and_done_ones_are_not():
    incident = fire().incident
    measure(incident, "메모리 제한", NOW.date() - DAY)
    measure(incident, "백오프", NOW.date() - 5 * DAY)
    measure(incident, "끝난 일", NOW.date() - DAY, state=ItemState.VERIFIED)
    (message,) = duedates.remind(now=NOW)

    body = message.content["ko"][1]
    assert "메모리 제한" in body
    assert "백오프" in body
    assert "끝난 일" not in body


def test_the_digest_goes_once_a_week_to_those_who_are_told_first(hook, other, loopback_is_listed):
    channel(hook, "first")
    channel(other, "later", step=1)
    measure(fire().incident, "메모리 제한", NOW.date() + 2 * DAY)
    assert duedates.digest(now=datetime(2026, 11, 22, 23, 30, tzinfo=UTC)) is None, "before Monday 09:00"
    assert duedates.digest(now=NOW) is not None
    assert duedates.digest(now=NOW + 6 * DAY) is None
    assert duedates.digest(now=NOW + 7 * DAY) is not None

    notifications.deliver(now=NOW + 7 * DAY, urls=[])
    assert hook.titles.count("Bonghwa: digest of the week") == 2
    assert "Bonghwa: digest of the week" not in other.titles


def test_nobody_is_told_that_nothing_is_owed(hook, loopback_is_listed):
    channel(hook, "first")
    assert duedates.digest(now=NOW) is None


def test_a_long_list_is_cut_and_counted(hook, loopback_is_listed):
    channel(hook, "first")
    incident = fire().incident
    for number in range(15):
        measure(incident, f"measure {number}", NOW.date() - DAY)
    message = duedates.digest(now=NOW)
    assert message is not None
    assert "… and 5 more" in message.content["en"][1]
    assert message.content["en"][1].count("measure ") == 10


def test_a_reminder_of_late_measures_hides_no_change_of_an_open_incident():
    incident = fire().incident
    measure(incident, "메모리 제한", NOW.date() - DAY)
    assert len(duedates.remind(now=NOW + timedelta(minutes=20))) == 1
    fire("down|frontend", service="frontend", at=NOW + timedelta(minutes=30))

    (message,) = followups.tell_changes(now=NOW + timedelta(minutes=40))
    assert "frontend" in message.content["en"][1]
