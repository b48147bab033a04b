"""The feed's part of ``/api/v1``: browser tickets, and the last known prices."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import redis
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query, Router, Schema
from ninja.errors import HttpError
from ninja.security import HttpBearer, SessionAuth

from gateway import auth, keys, tickets
from gateway.auth import Principal
from gateway.feed_frames import is_item
from gateway.feed_store import LastValue, sync_client
from gateway.models import digest

logger = logging.getLogger(__name__)

#: The type whose last values are quotes.
TRADES = "0B"
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


class FeedKeyToken(HttpBearer):
    """A token of a feed key, as ``/oauth2/token`` issues it."""

    def authenticate(self, request: HttpRequest, token: str) -> Principal | None:
        """Return who the token's key stands for; None when there is none, or it may not be used any more."""
        try:
            held = auth.holder(sync_client().get(keys.TOKEN.format(digest=digest(token.strip()))))
            if held is None:
                return None
            return auth.principal_of_key(held["key"], settings.GATEWAY_FEED)
        except auth.BadCredentials:
            return None
        except (redis.RedisError, OSError) as error:
            raise HttpError(503, _("The key cannot be checked now; try again.")) from error


class Session(SessionAuth):
    """A signed-in person, with the CSRF check that a cookie needs."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return whoever is signed in as a principal, None for a stranger."""
        if not request.user.is_authenticated:
            return None
        return auth.principal_of_subject(f"user:{request.user.pk}", settings.GATEWAY_FEED)


class Problem(Schema):
    """Why a request was refused: a sentence, or a list that names the wrong fields."""

    detail: Any


AUTH = [FeedKeyToken(), Session(csrf=True)]
#: Answers that every path here can give besides its own.
REFUSALS = {401: Problem, 403: Problem, 503: Problem}


@router.post(
    "feed/tickets",
    auth=AUTH,
    response={200: Ticket, 429: Problem, **REFUSALS},
    summary="Get a ticket for one connection to /ws",
)
def create_ticket(request: HttpRequest) -> Ticket:
    """Return a single-use ticket for a signed-in person, or for the holder of a feed key's token."""
    principal: Principal = request.auth  # type: ignore[attr-defined] # set by ninja
    try:
        value = tickets.issue(subject=principal.subject, ttl_s=TICKET_TTL)
    except tickets.TicketQuotaExceeded as error:
        raise HttpError(429, _("Too many tickets; try again in a minute.")) from error
    except (redis.RedisError, OSError) as error:
        raise HttpError(503, _("Tickets cannot be issued now; try again.")) from error
    return Ticket(ticket=value, expires_in_s=TICKET_TTL)


@router.get(
    "quotes", auth=AUTH, response={200: Quotes, 422: Problem, **REFUSALS}, summary="Last known prices"
)
def quotes(request: HttpRequest, symbols: Annotated[str, Query(max_length=4096)]) -> Quotes:
    """Return the last known trade (type 0B) of each of ``symbols``, separated by commas."""
    codes = list(dict.fromkeys(code.strip() for code in symbols.split(",") if code.strip()))
    if not codes or len(codes) > SYMBOLS_MAX or not all(is_item(code) for code in codes):
        raise HttpError(422, _("Give 1 to %(n)d item codes.") % {"n": SYMBOLS_MAX})
    principal: Principal = request.auth  # type: ignore[attr-defined] # set by ninja
    _check_rights(principal, codes)
    try:
        raws = sync_client().hmget(keys.LAST, [f"{TRADES}:{code}" for code in codes])
    except (redis.RedisError, OSError) as error:
        raise HttpError(503, _("Prices cannot be read now; try again.")) from error
    now = datetime.now(UTC)
    known = [_quote(code, raw, now) for code, raw in zip(codes, raws, strict=True)]
    return Quotes(
        quotes=[quote for quote in known if quote is not None],
        missing=[code for code, quote in zip(codes, known, strict=True) if quote is None],
    )


def _check_rights(principal: Principal, codes: list[str]) -> None:
    """Refuse with 403 what the key may not register either."""
    if not principal.rights.allows(TRADES, ""):
        raise HttpError(403, _("This key may not register type %(type)s.") % {"type": TRADES})
    for code in codes:
        if not principal.rights.allows(TRADES, code):
            raise HttpError(403, _("This key may not register item %(item)s.") % {"item": code})


def _quote(symbol: str, raw: bytes | str | None, now: datetime) -> Quote | None:
    if not raw:
        return None
    try:
        last = LastValue.decode(raw)
        at = datetime.fromtimestamp(last.at, UTC)
        age = max(0.0, (now - at).total_seconds())
        return Quote(symbol=symbol, at=at, age_s=round(age, 1), values=orjson.loads(last.row)["values"])
    except (ValueError, KeyError, TypeError, OverflowError):
        logger.warning("Unreadable last value of %s", symbol)
        return None
