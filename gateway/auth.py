"""Tokens of feed keys, in Kiwoom's manner: asking again returns the same token until it nears its end.

A token is an HMAC over its key and a nonce, so it can be made again without being stored: Redis holds its
SHA-256 for checking and the nonce for re-issuing, neither of which logs anyone in.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import redis
from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from gateway import keys
from gateway.config import FeedConfig
from gateway.feed_registrations import Rights
from gateway.models import FeedKey, digest

#: A token with less than this left is replaced when asked for again, in seconds.
RENEW_BELOW = 300.0
#: Last-used times are written at most this often, in seconds.
TOUCH_EVERY = 60.0
#: A signed-in person's connection ends after this many seconds; the page then comes back with a new ticket,
#: which nobody gets whose account was closed meanwhile.
PERSON_LIFETIME = 3600.0
#: What stays of a revoked token until its end. One that is merely absent may have been lost with Redis.
REVOKED = b"revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as its owner gets it. ``expires`` is in unix seconds."""

    value: str = field(repr=False)
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is behind a connection.

    ``expires`` is when the connection ends, in unix seconds: the end of the token (``token_expires``) or of
    the key, whichever comes first; None means that neither has one. A person's ends an hour after LOGIN.
    """

    subject: str
    name: str
    rights: Rights
    max_connections: int
    key: int | None = None
    token_digest: str = field(default="", repr=False)
    expires: float | None = None
    token_expires: float | None = None


class BadCredentials(Exception):
    """The key pair, token or ticket is not valid; the message says why."""


def issue(client: redis.Redis, key: FeedKey, lifetime: float) -> Token:
    """Return the key's token, a new one if there is none or it ends within five minutes.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    now = timezone.now().timestamp()
    name = keys.TOKEN_OF.format(key=key.pk)
    held = _held(client.get(name))
    if held is None or held["expires"] - now < RENEW_BELOW:
        fresh: dict[str, Any] = {"nonce": secrets.token_urlsafe(32), "expires": now + lifetime}
        raw = orjson.dumps(fresh)
        if held is None and not client.set(name, raw, ex=round(lifetime), nx=True):
            fresh = _held(client.get(name)) or fresh
        elif held is not None:
            client.set(name, raw, ex=round(lifetime))
        held = fresh
    token = Token(value=_derive(key, held["nonce"]), expires=held["expires"])
    body = orjson.dumps({"key": key.pk, "expires": token.expires})
    client.set(keys.TOKEN.format(digest=digest(token.value)), body, ex=max(1, round(token.expires - now)))
    return token


def revoke_token(client: redis.Redis, key: FeedKey, token: str) -> bool:
    """Forget ``token`` and tell every web process; return whether it was this key's.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    name = keys.TOKEN.format(digest=digest(token))
    held = holder(client.get(name))
    if held is None or held["key"] != key.pk:
        return False
    client.set(name, REVOKED, keepttl=True)
    client.delete(keys.TOKEN_OF.format(key=key.pk))
    client.publish(keys.KEYS_CHANNEL, str(key.pk))
    return True


def holder(raw: bytes | str | None) -> dict[str, Any] | None:
    """Read a stored token: its ``key`` and ``expires`` (unix seconds), None when it is unknown or revoked."""
    return None if raw == REVOKED else _held(raw)


def revoke_key(client: redis.Redis, key: FeedKey) -> None:
    """End the key and every connection that used it.

    Raises:
        redis.RedisError: Redis does not answer; the key is revoked nevertheless, and connections notice
            within a minute.
    """
    if FeedKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        key.refresh_from_db()
        FeedKey.history.bulk_history_create([key], update=True)
    client.delete(keys.TOKEN_OF.format(key=key.pk))
    client.publish(keys.KEYS_CHANNEL, str(key.pk))


def authenticate(app_key: str, secret: str) -> FeedKey:
    """Return the usable key of a pair. Causes an SQL query.

    Raises:
        BadCredentials: there is no such pair, or the key is revoked or expired.
    """
    key = FeedKey.objects.filter(app_key=app_key).first()
    if key is None:
        hmac.compare_digest(digest(secret), digest(app_key))
        raise BadCredentials("[8001:App Key와 Secret Key 검증에 실패했습니다]")
    if not key.has_secret(secret):
        raise BadCredentials("[8002:App Key와 Secret Key 검증에 실패했습니다]")
    if not key.is_usable(timezone.now()):
        raise BadCredentials("[8001:폐기되었거나 만료된 App Key입니다]")
    return key


def principal_of_key(
    pk: int, config: FeedConfig, *, token_digest: str = "", expires: float | None = None
) -> Principal:
    """Return what key ``pk`` may do now, and note its use. Causes SQL queries.

    Raises:
        BadCredentials: the key is gone, revoked or expired.
    """
    now = timezone.now()
    key = FeedKey.objects.usable(now).filter(pk=pk).first()
    if key is None:
        raise BadCredentials("the key is revoked or expired")
    if key.last_used_at is None or (now - key.last_used_at).total_seconds() > TOUCH_EVERY:
        FeedKey.objects.filter(pk=pk).update(last_used_at=now)
    ends = [moment for moment in (expires, key.expires_at and key.expires_at.timestamp()) if moment]
    return Principal(
        subject=f"key:{pk}",
        name=key.name,
        key=pk,
        rights=Rights(
            types=frozenset(key.types) or None,
            items=frozenset(key.items) or None,
            max_items=min(key.max_items or config.max_topics, config.max_topics),
        ),
        max_connections=key.max_connections or config.max_connections_per_key,
        token_digest=token_digest,
        expires=min(ends, default=None),
        token_expires=expires,
    )


def principal_of_subject(subject: str, config: FeedConfig) -> Principal:
    """Return what the holder of a ticket may do: a key's rights, or all market data for a signed-in person.

    Raises:
        BadCredentials: the subject's key is gone, revoked or expired.
    """
    kind, _, number = subject.partition(":")
    if kind == "key":
        return principal_of_key(int(number), config)
    return Principal(
        subject=subject,
        name=subject,
        rights=Rights(max_items=config.max_topics),
        max_connections=config.max_connections_per_key,
        expires=timezone.now().timestamp() + PERSON_LIFETIME,
    )


def expires_dt(token: Token) -> str:
    """Return the token's end as Kiwoom writes it: ``YYYYMMDDHHMMSS``, Korean wall clock."""
    end = datetime.fromtimestamp(token.expires, UTC)
    return timezone.localtime(end, timezone.get_fixed_timezone(9 * 60)).strftime("%Y%m%d%H%M%S")


def _held(raw: bytes | str | None) -> dict[str, Any] | None:
    return orjson.loads(raw) if raw else None


def _derive(key: FeedKey, nonce: str) -> str:
    mac = salted_hmac(
        "gateway.feed.token", f"{key.pk}|{nonce}", secret=settings.SECRET_KEY, algorithm="sha512"
    )
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()
