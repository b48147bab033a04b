"""The feed as operators see it, read from Redis, and how they end a connection."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import asdict, dataclass, field, fields

import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing

from gateway import keys
from gateway.config import FeedConfig
from gateway.feed_report import Connection, Disconnect, FeedLoad, merge, request_disconnect, watch
from gateway.models import FeedDisconnection
from gateway.status import (
    Attempt,
    FeedStatus,
    Gap,
    GatewayStatus,
    read_attempts,
    read_feeds,
    read_gaps,
    read_statuses,
)
from portal.dashboard.gateway import connect

#: Attempts shown of each upstream session.
ATTEMPTS_SHOWN = 20
#: Gaps shown of each upstream session.
GAPS_SHOWN = 10
#: Seconds that a disconnection is waited for; under the client's timeout for one command.
ANSWER_WITHIN = 0.8
REASON_MAX = 200
#: Keeps the signature of a question from being used elsewhere.
SALT = "portal.dashboard.feed.disconnect"
#: Recent disconnections shown.
DISCONNECTIONS_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedView:
    """Everything on the operators' page. ``reachable`` is false when Redis does not answer."""

    reachable: bool
    slots: tuple[str, ...] = ()
    statuses: tuple[GatewayStatus, ...] = ()
    attempts: dict[str, tuple[Attempt, ...]] | None = None
    gaps: dict[str, tuple[Gap, ...]] | None = None
    feeds: tuple[FeedStatus, ...] = ()
    load: FeedLoad = field(default_factory=FeedLoad)

    @property
    def closes(self) -> list[tuple[str, int]]:
        """Closes by code since the processes started, most frequent first."""
        total: Counter[str] = Counter()
        for feed in self.feeds:
            total.update(feed.closes or {})
        return total.most_common()

    @property
    def hidden(self) -> int:
        """Connections that are not listed."""
        return max(0, self.load.connections_total - len(self.load.connections))

    @property
    def hidden_topics(self) -> int:
        """Topics that are not listed."""
        return max(0, self.load.topics_total - len(self.load.topics))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One ``FEED_*`` setting in force."""

    variable: str
    field: str
    value: float


def limits(config: FeedConfig) -> list[Limit]:
    """Return every setting of the feed with the variable that sets it."""
    values = asdict(config)
    names = [item.name for item in fields(config)]
    return [Limit(variable=f"FEED_{name.upper()}", field=name, value=values[name]) for name in names]


def read_view() -> FeedView:
    """Return the page's data and ask the web processes to go on reporting; never raises for Redis."""
    slots = tuple(key.slot for key in settings.GATEWAY_UPSTREAM.keys)
    try:
        with connect() as client:
            feeds = tuple(sorted(read_feeds(client), key=lambda feed: feed.process))
            return FeedView(
                reachable=True,
                slots=slots,
                statuses=tuple(read_statuses(client, slots)),
                attempts={slot: tuple(read_attempts(client, slot, ATTEMPTS_SHOWN)) for slot in slots},
                gaps={slot: tuple(read_gaps(client, slot, GAPS_SHOWN)) for slot in slots},
                feeds=feeds,
                load=merge(watch(client, (feed.process for feed in feeds))),
            )
    except (redis.RedisError, ValueError, TypeError):
        return FeedView(reachable=False, slots=slots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Whom a question to disconnect was about. Reports end soon after the last look; the record must not."""

    process: str
    connection: str
    name: str = ""
    address: str = ""

    def sign(self) -> str:
        """Return it as a form's field that cannot be changed on its way."""
        return signing.dumps(asdict(self), salt=SALT)

    @classmethod
    def read(cls, text: str, process: str, connection: str) -> Seen:
        """Return what :meth:`sign` kept; without names if it was changed or is about another connection."""
        unknown = cls(process=process, connection=connection)
        try:
            seen = cls(**signing.loads(text, salt=SALT))
        except (signing.BadSignature, TypeError):
            return unknown
        return seen if (seen.process, seen.connection) == (process, connection) else unknown


def find_connection(view: FeedView, process: str, connection: str) -> Connection | None:
    """Return a connection of the present reports; None when it is not listed."""
    found = (one for one in view.load.connections if (one.process, one.id) == (process, connection))
    return next(found, None)


def disconnect(*, seen: Seen, reason: str, may_return: bool, actor: User) -> FeedDisconnection:
    """End a connection of a web process and return the row that records it, its outcome filled in.

    Raises:
        ValueError: there is no reason, or the process or connection cannot be one of ours.
        redis.RedisError: Redis does not answer; the row says that nothing was confirmed.
    """
    reason = reason.strip()[:REASON_MAX]
    if not reason:
        raise ValueError("a reason is required")
    if len(seen.process) > 200 or len(seen.connection) > 40:
        raise ValueError("not a connection of ours")
    row = FeedDisconnection.objects.create(
        actor=actor,
        actor_name=actor.get_username(),
        process=seen.process,
        connection=seen.connection,
        key_name=seen.name,
        address=seen.address,
        reason=reason,
        may_return=may_return,
    )
    request = Disconnect(
        connection=seen.connection,
        reason=reason,
        may_return=may_return,
        reply=keys.DISCONNECT_REPLY.format(ident=secrets.token_hex(8)),
    )
    try:
        with connect() as client:
            row.outcome = request_disconnect(client, seen.process, request, ANSWER_WITHIN)
    except redis.RedisError:
        row.outcome = "no-answer"
        raise
    finally:
        row.save(update_fields=["outcome"])
    return row


def recent_disconnections() -> list[FeedDisconnection]:
    """Return the newest disconnections: one query."""
    return list(FeedDisconnection.objects.all()[:DISCONNECTIONS_SHOWN])
