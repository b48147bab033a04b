"""Market days in the admin, and the gateway that reads them."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, time

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from gateway import owner
from gateway.calendar import DayHours, Venue
from gateway.market_days import AHEAD, BEFORE, read_days
from gateway.models import MarketDay
from gateway.protocol import KST
from gateway.status import FeedState
from tests.gateway.upstream_world import TOPIC, Desk, Simulator, config_for, gateway

DAY = date(2026, 11, 24)


def signed_in(role: str) -> Client:
    """Return a client of a member of staff with one role."""
    user = User.objects.create_user(role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["editor", "admin"])
def test_editors_enter_and_change_days(role):
    client = signed_in(role)
    body = {"venue": "KRX", "date": "2026-11-24", "closed": "on", "note": "정전"}
    assert client.post(reverse("admin:gateway_marketday_add"), body).status_code == 302
    row = MarketDay.objects.get()
    assert (row.venue, row.date, row.closed, row.note) == ("KRX", DAY, True, "정전")
    page = reverse("admin:gateway_marketday_change", args=[row.pk])
    changed = {"venue": "KRX", "date": "2026-11-24", "opens": "10:00", "closes": "16:30"}
    assert client.post(page, changed).status_code == 302
    assert read_days(DAY) == {(Venue.KRX, DAY): DayHours(False, time(10, 0), time(16, 30))}
    assert client.get(reverse("admin:gateway_marketday_changelist")).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_only_look(role):
    client = signed_in(role)
    assert client.get(reverse("admin:gateway_marketday_changelist")).status_code == 200
    assert client.get(reverse("admin:gateway_marketday_add")).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"closed": True, "opens": time(9, 0), "closes": time(15, 0)},
        {"opens": time(9, 0)},
        {"closes": time(9, 0)},
        {"opens": time(15, 0), "closes": time(9, 0)},
        {"opens": time(9, 0), "closes": time(9, 0)},
    ],
)
def test_contradictory_hours_are_refused_by_the_form_and_by_the_database(fields):
    day = MarketDay(date=DAY, **fields)
    with pytest.raises(ValidationError, match=r"hours|시각"):
        day.full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        day.save()


@pytest.mark.django_db
def test_a_venue_has_a_day_once():
    MarketDay.objects.create(date=DAY, closed=True)
    MarketDay.objects.create(venue="NXT", date=DAY, closed=True)
    with pytest.raises(ValidationError):
        MarketDay(date=DAY).full_clean()


@pytest.mark.django_db
def test_days_far_away_are_not_read():
    for day in (DAY - BEFORE * 2, DAY - BEFORE, DAY, DAY + AHEAD, DAY + AHEAD * 2):
        MarketDay.objects.create(date=day, closed=True)
    assert [day for _, day in read_days(DAY)] == [DAY - BEFORE, DAY, DAY + AHEAD]


@pytest.fixture
def simulator(tmp_path):
    """The simulator's process."""
    simulator = Simulator(tmp_path)
    simulator.start()
    yield simulator
    simulator.stop()


async def test_a_running_gateway_follows_the_days_and_keeps_the_last_while_they_cannot_be_read(
    simulator, redis_client, monkeypatch
):
    monkeypatch.setattr(owner, "DAYS_EVERY", 0.1)
    desk, today = Desk(redis_client), datetime.now(KST).date()
    desk.want(TOPIC)
    answers: list[object] = [{(Venue.KRX, today): DayHours(closed=True)}]
    reads = 0

    async def read():
        nonlocal reads
        reads += 1
        if isinstance(answers[-1], Exception):
            raise answers[-1]
        return answers[-1]

    async with gateway(config_for(simulator, calendar="krx"), read_days=read):
        closed = await desk.told(lambda status: status.session == "LIVE" and status.feed is FeedState.CLOSED)
        assert await desk.rows()  # rows that come anyway are delivered
        answers.append({(Venue.KRX, today): DayHours(opens=time(0, 0), closes=time(23, 59, 59))})
        await desk.told(lambda status: status.feed is FeedState.LIVE)
        answers.append(DatabaseError("the database is away"))
        before = reads
        await desk.until(lambda: reads > before + 3)
        await asyncio.sleep(0)
        status = await desk.told(lambda status: status.at > closed.at + 1)
        assert (status.session, status.feed) == ("LIVE", FeedState.LIVE)
        answers.append({(Venue.KRX, today): DayHours(closed=True)})
        await desk.told(lambda status: status.feed is FeedState.CLOSED)
