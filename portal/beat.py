"""Beat's scheduler: the database schedule, plus a heartbeat written by beat itself."""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from django_celery_beat.schedulers import DatabaseScheduler

from portal.heartbeat import write

logger = logging.getLogger(__name__)

#: Seconds between beat's own heartbeats.
PERIOD = 5.0


class HeartbeatScheduler(DatabaseScheduler):  # type: ignore[misc] # the library has no types
    """Says that beat lives each time it looks, so that a dead worker is not blamed on beat."""

    _next = 0.0
    _failing = False

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due and return the seconds until the next look."""
        delay: float = super().tick(*args, **kwargs)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PERIOD
            self._beat()
        return min(delay, PERIOD)

    def _beat(self) -> None:
        try:
            write("beat")
        except redis.RedisError as error:
            if not self._failing:
                logger.warning("heartbeat not written: %s", error)
            self._failing = True
        else:
            self._failing = False
