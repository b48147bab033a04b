"""The outbound dead-man switch: somebody else's service raises the alarm when our pings stop.

A ping goes out once a minute from the ``ops`` worker and only while the database, Redis, beat and every
queue's worker are well, so its absence means that something of these is not.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import httpx
import orjson
import redis
from django.conf import settings

from portal.health import QUEUES, check

logger = logging.getLogger(__name__)

#: What must be well.
NEEDED = ("database", "redis", "beat", *(f"worker_{queue}" for queue in QUEUES))
TIMEOUT_S = 10.0
KEY = "portal:dead-man"
TTL_S = 7 * 24 * 3600
USER_AGENT = "Bonghwa dead-man"


@dataclass(frozen=True, slots=True)
class Ping:
    """One try: ``sent`` says whether anything went out, ``ok`` whether it was taken."""

    at: str
    sent: bool
    ok: bool
    detail: str


def ping() -> Ping | None:
    """Ping when all is well; return what happened, ``None`` without a URL. Never raises, never follows.

    Without a URL the last result of one that was set before goes, so that nobody takes it for silence.
    """
    if not settings.DEADMAN_URL:
        with suppress(redis.RedisError), _client() as client:
            client.delete(KEY)
        return None
    parts = check()
    bad = [name for name in NEEDED if not parts[name].ok]
    if bad:
        result = Ping(_now(), sent=False, ok=False, detail=f"held back: {', '.join(bad)}")
    else:
        ok, detail = _send(settings.DEADMAN_URL)
        result = Ping(_now(), sent=True, ok=ok, detail=detail)
    before = last()
    if not result.ok and (before is None or before.ok):
        logger.error("dead-man ping: %s", result.detail)
    elif result.ok and before is not None and not before.ok:
        logger.warning("dead-man ping is taken again")
    with suppress(redis.RedisError), _client() as client:
        client.set(KEY, orjson.dumps(asdict(result)), ex=TTL_S)
    return result


def last() -> Ping | None:
    """Return the newest try, ``None`` without one or without Redis."""
    try:
        with _client() as client:
            raw = client.get(KEY)
        return Ping(**orjson.loads(raw)) if raw else None
    except (redis.RedisError, ValueError, TypeError):
        return None


def _send(url: str) -> tuple[bool, str]:
    """Ask once. The text says what went wrong and never holds the URL or what the server wrote."""
    try:
        with httpx.stream(
            "GET", url, timeout=TIMEOUT_S, follow_redirects=False, headers={"User-Agent": USER_AGENT}
        ) as answer:
            return answer.is_success, f"HTTP {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return False, type(error).__name__


def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def _now() -> str:
    return datetime.now(UTC).isoformat()
