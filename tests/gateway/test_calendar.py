"""When Korea's markets trade: sessions, weekends, holidays, and the days that start an hour late."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest

from gateway.calendar import DayHours, MarketCalendar, Venue, venues_of
from gateway.protocol import KST, ProtocolError

CALENDAR = MarketCalendar("krx")
#: A Tuesday without anything special.
DAY = date(2026, 11, 24)


def at(clock, day=DAY):
    """Return the KST time ``HH:MM:SS`` of a day."""
    return datetime.combine(day, datetime.strptime(clock, "%H:%M:%S").time(), KST)  # noqa: DTZ007 - KST is given


@pytest.mark.parametrize(
    ("clock", "krx", "nxt"),
    [
        ("07:59:59", False, False),
        ("08:00:00", False, True),
        ("08:49:59", False, True),
        ("08:50:00", False, False),
        ("08:59:59", False, False),
        ("09:00:00", True, False),
        ("09:00:30", True, True),
        ("12:00:00", True, True),
        ("15:19:59", True, True),
        ("15:20:00", True, False),
        ("15:29:59", True, False),
        ("15:30:00", False, True),
        ("19:59:59", False, True),
        ("20:00:00", False, False),
        ("23:30:00", False, False),
    ],
)
def test_sessions_of_a_trading_day(clock, krx, nxt):
    assert CALENDAR.is_open(at(clock), [Venue.KRX]) is krx
    assert CALENDAR.is_open(at(clock), [Venue.NXT]) is nxt
    assert CALENDAR.is_open(at(clock), list(Venue)) is (krx or nxt)
    assert CALENDAR.is_open(at(clock)) is krx


@pytest.mark.parametrize(
    ("utc", "is_open"),
    [
        (datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 24, 0, 0, tzinfo=UTC), True),  # 09:00 in Seoul
        (datetime(2026, 11, 24, 6, 30, tzinfo=UTC), False),
        (datetime(2026, 11, 20, 23, 59, tzinfo=UTC), False),  # Saturday morning in Seoul
        (datetime(2026, 11, 22, 15, 0, tzinfo=UTC), False),  # Monday's midnight in Seoul
    ],
)
def test_times_of_other_zones_are_read_as_seouls(utc, is_open):
    assert CALENDAR.is_open(utc) is is_open


def test_the_day_that_counts_is_seouls():
    sunday_evening = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)  # Monday, 08:30 in Seoul
    friday_evening = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)  # Saturday, 08:30 in Seoul
    assert CALENDAR.is_open(sunday_evening, [Venue.NXT])
    assert not CALENDAR.is_open(friday_evening, [Venue.NXT])


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 11, 21),  # Saturday
        date(2026, 11, 22),  # Sunday
        date(2026, 1, 1),  # New Year's Day
        date(2026, 2, 16),  # Seollal
        date(2026, 2, 17),
        date(2026, 2, 18),
        date(2026, 3, 2),  # for Independence Movement Day, a Sunday
        date(2026, 5, 1),  # Labour Day: no public holiday, but the exchange is closed
        date(2026, 5, 5),  # Children's Day
        date(2026, 6, 3),  # local elections
        date(2026, 9, 25),  # Chuseok
        date(2026, 10, 9),  # Hangul Day
        date(2026, 12, 25),
        date(2026, 12, 31),  # the exchange's last day off
    ],
)
def test_days_without_trading(day):
    assert not CALENDAR.is_trading_day(day)
    assert not CALENDAR.is_open(at("10:30:00", day), list(Venue))


@pytest.mark.parametrize("day", [date(2026, 2, 19), date(2026, 5, 4), date(2026, 12, 30), date(2027, 1, 4)])
def test_days_beside_holidays_trade(day):
    assert CALENDAR.is_trading_day(day)


@pytest.mark.parametrize(
    ("day", "clock", "is_open"),
    [
        (date(2026, 1, 2), "09:59:59", False),  # the year's first session opens at ten
        (date(2026, 1, 2), "10:00:00", True),
        (date(2026, 1, 2), "15:30:00", False),
        (date(2026, 1, 5), "09:00:00", True),
        (date(2027, 1, 4), "09:30:00", False),  # the first trading day after a weekend
        (date(2026, 11, 19), "09:30:00", False),  # the entrance examination moves the day by an hour
        (date(2026, 11, 19), "10:00:00", True),
        (date(2026, 11, 19), "16:29:59", True),
        (date(2026, 11, 19), "16:30:00", False),
    ],
)
def test_days_that_start_an_hour_late(day, clock, is_open):
    assert CALENDAR.is_open(at(clock, day)) is is_open


def test_a_market_that_never_closes():
    always = MarketCalendar("always")
    assert always.is_open(at("03:00:00", date(2026, 1, 1)))
    assert always.is_trading_day(date(2026, 11, 22))


def test_another_mode_is_refused():
    with pytest.raises(ValueError, match="nyse"):
        MarketCalendar("nyse")


@pytest.mark.parametrize(
    ("topics", "venues"),
    [
        ((), {Venue.KRX}),
        (("0B:005930",), {Venue.KRX}),
        (("0B:005930_NX",), {Venue.NXT}),
        (("0B:005930_AL",), {Venue.KRX, Venue.NXT}),
        (("0B:005930", "0D:000660_NX"), {Venue.KRX, Venue.NXT}),
        (("0s:",), {Venue.KRX}),
    ],
)
def test_the_suffix_of_a_symbol_names_its_venues(topics, venues):
    assert venues_of(topics) == venues


def test_what_is_no_topic_has_no_venue():
    with pytest.raises(ProtocolError):
        venues_of(["005930"])


HOLIDAY = date(2026, 12, 25)


def entered(venue, day, **hours):
    """Return a calendar with one day that a person entered."""
    return MarketCalendar("krx", {(venue, day): DayHours(**hours)})


def test_a_day_entered_as_closed_is_closed_for_its_venue_alone():
    calendar = entered(Venue.KRX, DAY, closed=True)
    assert not calendar.is_trading_day(DAY)
    assert not calendar.is_open(at("10:30:00"))
    assert calendar.is_open(at("10:30:00"), [Venue.NXT])
    assert calendar.is_open(at("10:30:00", date(2026, 11, 25)))


def test_entered_hours_stand_over_the_usual_ones():
    calendar = entered(Venue.NXT, DAY, opens=time(11, 0), closes=time(21, 0))
    found = [
        calendar.is_open(at(clock), [Venue.NXT]) for clock in ("10:59:59", "11:00:00", "20:59:59", "21:00:00")
    ]
    assert found == [False, True, True, False]
    assert calendar.is_open(at("09:00:00"))


@pytest.mark.parametrize("hours", [{}, {"opens": time(9, 0), "closes": time(15, 30)}])
def test_a_holiday_can_be_entered_as_a_trading_day(hours):
    calendar = entered(Venue.KRX, HOLIDAY, **hours)
    assert calendar.is_open(at("09:00:00", HOLIDAY))
    assert not calendar.is_open(at("15:30:00", HOLIDAY))
    assert not calendar.is_open(at("10:00:00", HOLIDAY), [Venue.NXT])


def test_a_late_day_can_be_entered_as_a_usual_one():
    late = date(2026, 11, 19)
    assert entered(Venue.KRX, late).is_open(at("09:00:00", late))


def test_a_closed_new_years_session_makes_the_next_day_the_first():
    calendar = entered(Venue.KRX, date(2026, 1, 2), closed=True)
    assert not calendar.is_open(at("09:30:00", date(2026, 1, 5)))
    assert calendar.is_open(at("10:00:00", date(2026, 1, 5)))


def test_new_overrides_replace_the_old_ones():
    calendar = entered(Venue.KRX, DAY, closed=True)
    calendar.override({})
    assert calendar.is_open(at("10:30:00"))


@pytest.mark.parametrize(
    ("start", "end", "opens"),
    [
        (at("08:00:00"), at("08:59:59"), False),
        (at("08:00:00"), at("09:00:00"), True),
        (at("15:29:59"), at("15:29:59"), True),
        (at("15:30:00"), at("23:59:00"), False),
        (at("20:00:00", date(2026, 11, 20)), at("08:59:00", date(2026, 11, 23)), False),  # a weekend
        (at("20:00:00", date(2026, 11, 20)), at("09:00:00", date(2026, 11, 23)), True),
        (at("08:00:00", date(2026, 12, 25)), at("23:00:00", date(2026, 12, 27)), False),
        (at("00:00:00", date(2026, 9, 1)), at("00:00:00", date(2026, 11, 1)), True),
    ],
)
def test_whether_a_market_opened_within_a_span(start, end, opens):
    assert CALENDAR.opens_between(start, end, [Venue.KRX]) is opens
    assert MarketCalendar("always").opens_between(start, end, [Venue.KRX])
