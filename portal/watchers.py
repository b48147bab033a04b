"""Watches the watcher: tells people when beat or a worker is silent, from whichever process still runs.

Three callers look again and again: a task of the ``collect`` worker, one of the ``ops`` worker, and a
thread in each web process, which needs neither beat nor a worker nor Redis and therefore also delivers the
message itself. All of them raise the same signals of one incident, so that there is one incident and one
message. What none of them can tell (the database or the whole machine is away) is told by the dead-man URL,
whose pings stop.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from incidents import audit
from incidents import services as incidents
from incidents.models import IncidentSignal, Severity
from portal.health import QUEUES
from portal.heartbeat import ROUND, ages

logger = logging.getLogger(__name__)

#: Seconds between two looks of a web process at most.
PERIOD_S = 15.0
FINGERPRINT = "portal:monitoring"
#: Seconds for Redis; a hung one must not hold up the thread.
REDIS_TIMEOUT = 2.0
RESOLVE_AFTER_S = 60.0
BEAT, REDIS = "beat", "redis"
#: Without these no round runs.
ROUNDS_NEED = frozenset({BEAT, "worker:collect"})
#: Seconds more for a round: the worker's own silence, or a database that was away, has to be known before.
ROUND_GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw: seconds since each part was last heard; ``None`` was never heard.

    ``heard`` are the parts whose heartbeat is in time. One that is neither silent nor heard has not
    been looked at for long enough.
    """

    silent_s: dict[str, float | None]
    heard: frozenset[str] = frozenset()

    def silent(self, running_s: float) -> dict[str, float]:
        """Return the parts that are over their deadline with the seconds for which they are known silent.

        A part that was never heard counts from when this process began to look.
        """
        found = {part: running_s if age is None else age for part, age in self.silent_s.items()}
        return {part: age for part, age in found.items() if age > limit_s(part)}


def limit_s(part: str) -> float:
    """Return the seconds of silence after which people are told."""
    return settings.HEARTBEAT_DEADLINE + (ROUND_GRACE_S if part.startswith(ROUND) else 0.0)


class Watcher:
    """One caller's view; ``began`` and the time without Redis are its own."""

    def __init__(self, now: datetime) -> None:
        self.began = now
        self.redis_gone_since: datetime | None = None
        #: When there was last no beat or no worker that a round could have come from.
        self.idle_at = now
        self.settled = False

    def look(self, now: datetime) -> Look:
        """Ask Redis for the heartbeats; without Redis nothing of them is known, and that is the fault."""
        client = redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        )
        try:
            seen = ages(client)
        except redis.RedisError:
            self.redis_gone_since = self.redis_gone_since or now
            return Look({REDIS: (now - self.redis_gone_since).total_seconds()})
        finally:
            client.close()
        if self.redis_gone_since is not None:
            # While it was away nobody could beat: the deadline counts from its return.
            self.redis_gone_since, self.began = None, now
        parts: dict[str, float | None] = {BEAT: seen.get(BEAT)}
        for queue in QUEUES:
            found = [age for name, age in seen.items() if name.startswith(f"worker:{queue}@")]
            parts[f"worker:{queue}"] = min(found, default=None)
        # A round that was never heard is none of this release's workers, and not expected.
        rounds = {name: age for name, age in seen.items() if name.startswith(ROUND)}
        everything = (parts | rounds).items()
        heard = {part for part, age in everything if age is not None and age <= limit_s(part)}
        back, busy = ((now - since).total_seconds() for since in (self.began, self.idle_at))
        parts = {part: age if age is None else min(age, back) for part, age in parts.items()}
        rounds = {part: min(age, back, busy) for part, age in rounds.items()}
        return Look({**parts, **rounds}, frozenset(heard | {REDIS}))

    def check(self, now: datetime) -> dict[str, float]:
        """Look once and bring the incident up to date; return the silent parts.

        Raises:
            DatabaseError: the database does not answer; the dead-man URL tells of that.
        """
        look = self.look(now)
        silent = look.silent((now - self.began).total_seconds())
        if silent.keys() & ROUNDS_NEED:
            self.idle_at = now
            silent = {part: age for part, age in silent.items() if not part.startswith(ROUND)}
        try:
            for part, age in silent.items():
                _raise_signal(part, age, now)
            if silent or not self.settled:
                self.settled = _clear(look.heard, now) and not silent
        except DatabaseError:
            self.began = now  # no round came to its end without it either
            raise
        return silent


def _raise_signal(part: str, age: float, now: datetime) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        title = _("Monitoring: %(part)s has been silent for %(age)d s (limit %(limit)d s)") % {
            "part": part,
            "age": age,
            "limit": limit_s(part),
        }
    if IncidentSignal.objects.filter(origin=FINGERPRINT, key=f"silent:{part}", cleared_at=None).exists():
        return
    incidents.signal(
        fingerprint=FINGERPRINT,
        key=f"silent:{part}",
        title=title,
        service="",
        severity=Severity.CRITICAL,
        detail={"part": part, "value": round(age), "limit": limit_s(part)},
        at=now,
        impact_started_at=now - timedelta(seconds=age),
        resolve_after_s=RESOLVE_AFTER_S,
    )
    logger.error("%s", title)


def _clear(heard: frozenset[str], now: datetime) -> bool:
    """Clear what is heard again; return whether nothing is left."""
    held = set(
        IncidentSignal.objects.filter(origin=FINGERPRINT, cleared_at=None).values_list("key", flat=True)
    )
    back = {key for key in held if key.removeprefix("silent:") in heard}
    for key in sorted(back):
        with translation.override(settings.LANGUAGE_CODE):
            reason = _("it is heard again")
        incidents.clear(fingerprint=FINGERPRINT, key=key, at=now, reason=reason)
    return held == back


class WatcherThread(threading.Thread):
    """The look from a web process. While something is silent it also does the outbox's work.

    It also takes the audit's anchor along, since what the workers do is written by them.
    """

    def __init__(self) -> None:
        super().__init__(name="watcher", daemon=True)
        self.period_s = min(PERIOD_S, settings.HEARTBEAT_DEADLINE / 6)
        self.ended = threading.Event()
        self._watcher = Watcher(timezone.now())
        self._failing = False
        self._anchored = 0

    def run(self) -> None:
        """Look every period until the process ends."""
        while not self.ended.wait(self.period_s):
            close_old_connections()
            try:
                if self._watcher.check(timezone.now()):
                    _do_the_outbox()
                self._anchored = audit.follow(self._anchored)
                self._failing = False
            except DatabaseError as error:
                if not self._failing:
                    logger.error("the database does not answer the watcher: %s", type(error).__name__)
                self._failing = True
            except Exception:  # the last one who watches must not die of a bug
                logger.exception("the watcher failed")
            finally:
                close_old_connections()

    def stop(self) -> None:
        """End it; used by tests, in a server it ends with the process."""
        self.ended.set()


def _do_the_outbox() -> None:
    """Send what is due although its worker may be dead; rows are claimed, so nothing goes out twice."""
    from incidents import tasks  # brings Apprise along, which a web process does not need otherwise

    tasks.deliver()


_lock = threading.Lock()
_thread: WatcherThread | None = None


def start_thread() -> WatcherThread:
    """Start this process's watcher, once."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = WatcherThread()
            _thread.start()
        return _thread


_own: Watcher | None = None


def look_once() -> dict[str, float]:
    """Look from a worker's task; return the silent parts.

    Raises:
        DatabaseError: the database does not answer.
    """
    global _own
    now = timezone.now()
    if _own is None:
        _own = Watcher(now)
    return _own.check(now)
