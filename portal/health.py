"""``/health`` says that the process lives and touches nothing; ``/health/ready`` asks what it depends on.

Both, like ``/health/proxy`` of :mod:`portal.hop`, answer before host checks and redirects: a probe may use an
address instead of a name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

from gateway.status import FeedState, read_statuses
from portal.headers import BARE
from portal.heartbeat import ages
from portal.hop import arrived

ALIVE = b'{"status":"ok"}'
_BARE = [(name.lower().encode(), value.encode()) for name, value in BARE.items()]
#: Seconds after which a silent beat or worker counts as dead; three periods of the heartbeat.
BEAT_MAX_AGE = 30.0
WORKER_MAX_AGE = 45.0
#: Queues that need a worker.
QUEUES = ("collect", "ops")
#: A readiness answer is reused for this many seconds, so that callers cannot load the database with it.
REUSE = 1.0
REDIS_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Part:
    """One dependency: whether it is all right, and a few words for a person."""

    ok: bool
    detail: str
    age_s: float | None = None
    #: Whether the process still serves without it.
    optional: bool = False


class Alive:
    """Answer ``/health`` on the event loop, ahead of Django and of its thread pool."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != "/health":
            await self.application(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *_BARE]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ALIVE})


class HealthMiddleware:
    """Answer the endpoints ahead of every other middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.readiness = Readiness()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer ``request`` or pass it on."""
        if request.path == "/health":
            return _json(ALIVE, 200)
        if request.path == "/health/ready":
            return self.readiness.respond()
        if request.path == "/health/proxy":
            return _json(arrived(request), 200)
        return self.get_response(request)


class Readiness:
    """The last readiness answer of this process, renewed at most once a second."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until = 0.0
        self._body = b""
        self._status = 503

    def respond(self) -> HttpResponse:
        """Return 200 when everything this process needs is there, 503 otherwise."""
        with self._lock:
            if time.monotonic() >= self._until:
                parts = check()
                status, self._status = summarise(parts)
                shown = {name: _shown(part) for name, part in parts.items()}
                self._body = orjson.dumps({"status": status, "checks": shown})
                self._until = time.monotonic() + REUSE
            return _json(self._body, self._status)


def summarise(parts: dict[str, Part]) -> tuple[str, int]:
    """Return the overall word and HTTP status: ``ok``, ``degraded`` (still serving) or ``failing``."""
    failed = [part for part in parts.values() if not part.ok]
    if not failed:
        return "ok", 200
    return ("degraded", 200) if all(part.optional for part in failed) else ("failing", 503)


def check() -> dict[str, Part]:
    """Ask every dependency once. Never raises: what does not answer is a failed part."""
    parts = {"database": _database()}
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    )
    try:
        client.ping()
        parts["redis"] = Part(True, "answers")
        parts |= _beats(client) | {"feed": _feed(client)}
    except redis.RedisError as error:
        unknown = Part(False, "unknown: Redis does not answer")
        parts["redis"] = Part(False, type(error).__name__)
        parts |= dict.fromkeys(("beat", *(f"worker_{queue}" for queue in QUEUES), "feed"), unknown)
    finally:
        client.close()
    return parts


def _database() -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return Part(False, type(error).__name__)
    return Part(True, "answers")


def _beats(client: redis.Redis) -> dict[str, Part]:
    seen = ages(client)
    parts = {"beat": _recent([seen["beat"]] if "beat" in seen else [], BEAT_MAX_AGE)}
    for queue in QUEUES:
        found = [age for name, age in seen.items() if name.startswith(f"worker:{queue}@")]
        parts[f"worker_{queue}"] = _recent(found, WORKER_MAX_AGE)
    return parts


def _recent(found: Iterable[float], limit: float) -> Part:
    age = min(found, default=None)
    if age is None:
        return Part(False, "no heartbeat")
    return Part(age <= limit, "beats" if age <= limit else "silent", round(age, 1))


def _feed(client: redis.Redis) -> Part:
    """A feed that reconnects is no reason to take this process away from its clients; no gateway is."""
    slots = [key.slot for key in settings.GATEWAY_UPSTREAM.keys]
    try:
        statuses = read_statuses(client, slots)
    except ValueError:
        return Part(False, "unreadable status")
    if not statuses:
        return Part(False, "no gateway runs")
    age = round(max(0.0, time.time() - min(status.at for status in statuses)), 1)
    good = (FeedState.LIVE, FeedState.CLOSED)
    worst = next((status for status in statuses if status.feed not in good), statuses[0])
    return Part(worst.feed in good, str(worst.feed), age, optional=True)


def _shown(part: Part) -> dict[str, Any]:
    return {name: value for name, value in asdict(part).items() if value is not None and name != "optional"}


def _json(body: bytes, status: int) -> HttpResponse:
    response = HttpResponse(
        body, status=status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
    # A probe asks each few seconds; Django would log every 503 of it as an error.
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response
