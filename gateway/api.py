"""The feed's part of ``/api/v1``: browser tickets, and the last known prices."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import redis
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema
from ninja.errors import HttpError
from ninja.security import SessionAuth

from gateway import auth, keys, tickets
from gateway.feed_frames import is_item
from gateway.feed_store import LastValue, sync_client
from gateway.models import digest

#: Symbols of one request at most.
SYMBOLS_MAX = 200
#: A ticket's life in seconds.
TICKET_TTL = 30

router = Router(tags=["feed"])


class Ticket(Schema):
    """A ticket, used once as the token of a LOGIN on ``/ws``."""

    ticket: str
    expires_in_s: int


class Quote(Schema):
    """The last known trade of one item; prices are Kiwoom's text by field code."""

    symbol: str
    at: datetime
    age_s: float
    values: dict[str, str]


class Quotes(Schema):
    """The quotes that are known; the others are listed as missing."""

    quotes: list[Quote]
    missing: list[str]


def _signed_in(request: HttpRequest) -> str | None:
    return f"user:{request.user.pk}" if request.user.is_authenticated else None


def feed_key(request: HttpRequest) -> str | None:
    """Return ``key:N`` for ``Authorization: Bearer`` with a token of a feed key."""
    scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value:
        return None
    try:
        held = auth.holder(sync_client().get(keys.TOKEN.format(digest=digest(value.strip()))))
        if held is None:
            return None
        return auth.principal_of_key(held["key"], settings.GATEWAY_FEED).subject
    except auth.BadCredentials:
        return None
    except (redis.RedisError, OSError) as error:
        raise HttpError(503, _("The key cannot be checked now; try again.")) from error


class Session(SessionAuth):
    """A signed-in person, with the CSRF check that a cookie needs."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return the subject of whoever is signed in."""
        return _signed_in(request)


AUTH = [feed_key, Session(csrf=True)]


@router.post("feed/tickets", auth=AUTH, response=Ticket, summary="Get a ticket for one connection to /ws")
def create_ticket(request: HttpRequest) -> Ticket:
    """Return a single-use ticket for a signed-in person, or for the holder of a feed key's token."""
    subject: str = request.auth  # type: ignore[attr-defined] # set by ninja
    try:
        value = tickets.issue(subject=subject, ttl_s=TICKET_TTL)
    except tickets.TicketQuotaExceeded as error:
        raise HttpError(429, _("Too many tickets; try again in a minute.")) from error
    except (redis.RedisError, OSError) as error:
        raise HttpError(503, _("Tickets cannot be issued now; try again.")) from error
    return Ticket(ticket=value, expires_in_s=TICKET_TTL)


@router.get("quotes", auth=AUTH, response=Quotes, summary="Last known prices")
def quotes(request: HttpRequest, symbols: Annotated[str, Query(max_length=4096)]) -> Quotes:
    """Return the last known trade (type 0B) of each of ``symbols``, separated by commas."""
    codes = list(dict.fromkeys(code.strip() for code in symbols.split(",") if code.strip()))
    if not codes or len(codes) > SYMBOLS_MAX or not all(is_item(code) for code in codes):
        raise HttpError(422, _("Give 1 to %(n)d item codes.") % {"n": SYMBOLS_MAX})
    try:
        raws = sync_client().hmget(keys.LAST, [f"0B:{code}" for code in codes])
    except (redis.RedisError, OSError) as error:
        raise HttpError(503, _("Prices cannot be read now; try again.")) from error
    now = datetime.now(UTC)
    found, missing = [], []
    for code, raw in zip(codes, raws, strict=True):
        if not raw:
            missing.append(code)
            continue
        last = LastValue.decode(raw)
        at = datetime.fromtimestamp(last.at, UTC)
        age = max(0.0, (now - at).total_seconds())
        found.append(Quote(symbol=code, at=at, age_s=round(age, 1), values=orjson.loads(last.row)["values"]))
    return Quotes(quotes=found, missing=missing)
