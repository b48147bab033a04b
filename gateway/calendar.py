"""When Korea's stock markets trade. Times are KST; holidays come from the ``holidays`` library (XKRX)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

import holidays

from gateway.protocol import KST, split_topic


class Venue(StrEnum):
    """A market whose rows the gateway carries."""

    KRX = "KRX"
    NXT = "NXT"


#: Trading hours by venue: KRX's regular session; NXT's pre-market, main and after-market.
HOURS: Final[dict[Venue, tuple[tuple[time, time], ...]]] = {
    Venue.KRX: ((time(9, 0), time(15, 30)),),
    Venue.NXT: (
        (time(8, 0), time(8, 50)),
        (time(9, 0, 30), time(15, 20)),
        (time(15, 30), time(20, 0)),
    ),
}
#: Days of the national college entrance examination: everything starts and ends an hour later.
LATE_DAYS: Final = frozenset({date(2024, 11, 14), date(2025, 11, 13), date(2026, 11, 19)})
#: A span longer than this many days has seen every market open.
LONGEST_BREAK: Final = 40


@dataclass(frozen=True, slots=True)
class DayHours:
    """A day that a person entered: closed, open from ``opens`` to ``closes``, or, without them, as usual."""

    closed: bool = False
    opens: time | None = None
    closes: time | None = None


def venues_of(topics: Iterable[str]) -> frozenset[Venue]:
    """Return the venues whose rows ``topics`` bring; KRX when there is no topic."""
    found: set[Venue] = set()
    for topic in topics:
        suffix = split_topic(topic)[1].rpartition("_")[2]
        found |= {"NX": {Venue.NXT}, "AL": {Venue.KRX, Venue.NXT}}.get(suffix, {Venue.KRX})
    return frozenset(found or {Venue.KRX})


class MarketCalendar:
    """Says whether the market is open. ``mode`` is ``krx``, or ``always`` for a market that never closes.

    Raises:
        ValueError: the mode is neither.
    """

    def __init__(self, mode: str, days: Mapping[tuple[Venue, date], DayHours] | None = None) -> None:
        if mode not in ("krx", "always"):
            raise ValueError(f"calendar mode {mode!r} must be 'krx' or 'always'")
        self._always = mode == "always"
        self._holidays = None if self._always else holidays.financial_holidays("XKRX")
        self._days = dict(days or {})

    def override(self, days: Mapping[tuple[Venue, date], DayHours]) -> None:
        """Let ``days`` stand over holidays and usual hours; earlier overrides are forgotten."""
        self._days = dict(days)

    def is_trading_day(self, day: date, venue: Venue = Venue.KRX) -> bool:
        """Return whether ``venue`` trades on ``day``."""
        if self._holidays is None:
            return True
        if (entered := self._days.get((venue, day))) is not None:
            return not entered.closed
        return day.weekday() < 5 and day not in self._holidays

    def is_open(self, at: datetime, venues: Iterable[Venue] = (Venue.KRX,)) -> bool:
        """Return whether any of ``venues`` trades at the aware time ``at``."""
        if self._always:
            return True
        day = at.astimezone(KST).date()
        return any(opens <= at < closes for venue in venues for opens, closes in self._sessions(venue, day))

    def opens_between(self, start: datetime, end: datetime, venues: Iterable[Venue]) -> bool:
        """Return whether any of ``venues`` trades at some time from ``start`` to ``end`` (aware times)."""
        first, last = start.astimezone(KST).date(), end.astimezone(KST).date()
        if self._always or (last - first).days > LONGEST_BREAK:
            return True
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return any(
            opens <= end and start < closes
            for venue in venues
            for day in days
            for opens, closes in self._sessions(venue, day)
        )

    def _sessions(self, venue: Venue, day: date) -> Iterator[tuple[datetime, datetime]]:
        if not self.is_trading_day(day, venue):
            return
        entered = self._days.get((venue, day))
        if entered is not None and entered.opens is not None and entered.closes is not None:
            yield datetime.combine(day, entered.opens, KST), datetime.combine(day, entered.closes, KST)
            return
        hour = timedelta(hours=1)
        late, first = day in LATE_DAYS and entered is None, entered is None and self._is_first(day)
        for opens, closes in HOURS[venue]:
            start, end = (datetime.combine(day, clock, KST) for clock in (opens, closes))
            if late:
                start, end = start + hour, end + hour
            elif first and venue is Venue.KRX:
                start += hour  # the year's first session opens at ten
            yield start, end

    def _is_first(self, day: date) -> bool:
        return day.month == 1 and not any(
            self.is_trading_day(date(day.year, 1, earlier)) for earlier in range(1, day.day)
        )
