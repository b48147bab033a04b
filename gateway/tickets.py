"""Browser tickets: short-lived, for one connection, used as the LOGIN token."""

from __future__ import annotations

import secrets

import orjson
import redis
import redis.asyncio

from gateway import keys
from gateway.feed_store import sync_client
from gateway.models import digest

#: How a ticket differs from a token at a glance; not a secret.
PREFIX = "ticket-"
#: Tickets that one subject may take in a minute.
PER_MINUTE = 60


class TicketQuotaExceeded(Exception):
    """The subject took too many tickets; it may ask again within a minute."""


def issue(*, subject: str, ttl_s: int = 30, client: redis.Redis | None = None) -> str:
    """Return a new ticket for ``subject`` (``user:7``, ``key:3``), valid for ``ttl_s`` seconds.

    Raises:
        TicketQuotaExceeded: more than 60 in a minute.
        redis.RedisError: Redis does not answer.
    """
    client = client or sync_client()
    counter = keys.COUNTER.format(what="tickets", who=subject)
    with client.pipeline() as pipe:
        pipe.set(counter, 0, ex=60, nx=True)
        pipe.incr(counter)
        taken = pipe.execute()[1]
    if taken > PER_MINUTE:
        raise TicketQuotaExceeded(subject)
    ticket = PREFIX + secrets.token_urlsafe(32)
    client.set(keys.TICKET.format(digest=digest(ticket)), orjson.dumps({"subject": subject}), ex=ttl_s)
    return ticket


async def redeem(client: redis.asyncio.Redis, ticket: str) -> str | None:
    """Take ``ticket`` away and return its subject; None when it is unknown, used or too old.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    raw = await client.getdel(keys.TICKET.format(digest=digest(ticket)))
    return str(orjson.loads(raw)["subject"]) if raw else None
