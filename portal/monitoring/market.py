"""Whether the market that a rule is limited to trades, asked of ``gateway.status``."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from gateway.status import is_market_open
from portal.monitoring.models import Market

_VENUES = {Market.KRX: ("KRX",), Market.NXT: ("NXT",), Market.ANY: ("KRX", "NXT")}


def is_open(market: str, at: datetime) -> bool:
    """Whether ``market`` (a value of :class:`Market`) trades at ``at``; the empty one always does.

    Raises:
        django.db.DatabaseError: the days that people entered cannot be read.
    """
    return not market or is_market_open(settings.GATEWAY_UPSTREAM.calendar, at, _VENUES[Market(market)])
