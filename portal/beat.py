"""Beat's scheduler: the database schedule, a heartbeat of its own, no trust in a clock that was ahead, and
queues that stay bounded while nobody works them off.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import redis
from celery.utils.time import maybe_make_aware
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler

from portal.heartbeat import write
from portal.monitoring import clock

logger = logging.getLogger(__name__)

#: Seconds between beat's own heartbeats.
PERIOD = 5.0
#: Messages of about 1 KiB that wait in a queue at most. With so many its worker is dead, and those that have
#: expired are thrown away only by a worker: in days they would fill Redis, which the feed needs.
QUEUE_MAX = 500
#: Seconds for Redis' answer.
REDIS_TIMEOUT = 2.0
#: A task that ran later than so much from now ran by a clock that was ahead.
AHEAD = timedelta(seconds=2)


class HeartbeatScheduler(DatabaseScheduler):  # type: ignore[misc] # the library has no types
    """Says that beat lives each time it looks, so that a dead worker is not blamed on beat."""

    _next = 0.0
    _failing = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Of each queue: until when the last answer holds, and whether it had room.
        self._room: dict[str, tuple[float, bool]] = {}
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due and return the seconds until the next look."""
        self._forget_the_future()
        delay: float = super().tick(*args, **kwargs)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PERIOD
            self._beat()
        return min(delay, PERIOD)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send a task that is due; one for a full queue is left out, until its next turn."""
        if self._has_room(entry.options.get("queue") or settings.CELERY_TASK_DEFAULT_QUEUE):
            super().apply_entry(entry, producer=producer)

    def _has_room(self, queue: str) -> bool:
        until, before = self._room.get(queue, (0.0, True))
        if time.monotonic() < until:
            return before
        room = _waiting(queue) < QUEUE_MAX
        self._room[queue] = (time.monotonic() + PERIOD, room)
        if room != before:
            logger.warning("queue %s %s", queue, "has room again" if room else "is full: nobody works it off")
        return room

    def _forget_the_future(self) -> None:
        """Let tasks that ran by a clock that was set back meanwhile run again one period from now.

        Celery would wait until that clock is reached: an hour without a look at anything, were it an hour.
        """
        ahead = []
        # Not ``self.schedule``, which asks the database each time; the look that follows does so anyway.
        entries = list((self._schedule or {}).values())
        for entry in entries:
            now = entry._default_now()
            # Its own time is that of its first run: what ran since is another entry with the same model.
            if maybe_make_aware(entry.model.last_run_at) - now > AHEAD:
                entry.model.last_run_at = now
                ahead.append(entry.name)
        if ahead:
            for entry in entries:
                entry.last_run_at = entry.model.last_run_at
            self._heap = None
            try:
                clock.forget_the_future(timezone.now())
            except DatabaseError as error:
                logger.warning("what was due by the clock before is due by it still: %s", error)
            logger.warning("the clock was set back: %d tasks go on from now", len(ahead))

    def _beat(self) -> None:
        try:
            write("beat")
        except redis.RedisError as error:
            if not self._failing:
                logger.warning("heartbeat not written: %s", error)
            self._failing = True
        else:
            self._failing = False


def _waiting(queue: str) -> int:
    """Return how many messages wait in ``queue``; 0 when Redis does not answer, as sending then shows."""
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        ) as client:
            return int(client.llen(queue))
    except redis.RedisError:
        return 0
