"""When Korea's stock markets trade. Times are KST; holidays come from the ``holidays`` library (XKRX)."""

from __future__ import annotations

from collections.abc import Iterable
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
#: Closures announced at short notice that the library may not know yet.
EXTRA_CLOSURES: Final[frozenset[date]] = frozenset()


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

    def __init__(self, mode: str) -> None:
        if mode not in ("krx", "always"):
            raise ValueError(f"calendar mode {mode!r} must be 'krx' or 'always'")
        self._always = mode == "always"
        self._holidays = None if self._always else holidays.financial_holidays("XKRX")

    def is_trading_day(self, day: date) -> bool:
        """Return whether the exchange trades on ``day``."""
        if self._holidays is None:
            return True
        return day.weekday() < 5 and day not in EXTRA_CLOSURES and day not in self._holidays

    def is_open(self, at: datetime, venues: Iterable[Venue] = (Venue.KRX,)) -> bool:
        """Return whether any of ``venues`` trades at the aware time ``at``."""
        if self._always:
            return True
        local = at.astimezone(KST)
        if not self.is_trading_day(local.date()):
            return False
        return any(
            opens <= local < closes
            for venue in venues
            for opens, closes in self._sessions(venue, local.date())
        )

    def _sessions(self, venue: Venue, day: date) -> list[tuple[datetime, datetime]]:
        hour = timedelta(hours=1)
        first_day = day.month == 1 and not any(
            self.is_trading_day(date(day.year, 1, earlier)) for earlier in range(1, day.day)
        )
        sessions = []
        for opens, closes in HOURS[venue]:
            start, end = (datetime.combine(day, clock, KST) for clock in (opens, closes))
            if day in LATE_DAYS:
                start, end = start + hour, end + hour
            elif first_day and venue is Venue.KRX:
                start += hour  # the year's first session opens at ten
            sessions.append((start, end))
        return sessions
