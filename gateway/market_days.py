"""The market days that people entered, as the calendar takes them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Final

from channels.db import database_sync_to_async

from gateway.calendar import DayHours, Venue
from gateway.models import MarketDay
from gateway.protocol import KST

#: Days read: those around a gap that is still open, and the coming year; rows at most.
BEFORE: Final = timedelta(days=40)
AHEAD: Final = timedelta(days=400)
MOST: Final = 1_000


def read_days(today: date) -> dict[tuple[Venue, date], DayHours]:
    """Return the days around ``today``.

    Raises:
        django.db.DatabaseError: the database does not answer.
    """
    rows = MarketDay.objects.filter(date__range=(today - BEFORE, today + AHEAD)).order_by("date", "pk")[:MOST]
    return {(Venue(row.venue), row.date): DayHours(row.closed, row.opens, row.closes) for row in rows}


async def read_days_now() -> dict[tuple[Venue, date], DayHours]:
    """Return the days around today without blocking the event loop.

    Raises:
        django.db.DatabaseError: the database does not answer.
    """
    return await database_sync_to_async(read_days)(datetime.now(KST).date())
