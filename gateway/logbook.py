"""A hard cap on log lines: whatever goes wrong, this process cannot flood a disk."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

#: Lines of one logger within WINDOW seconds; the rest is counted and dropped.
LINES = 60
WINDOW = 60.0
#: Loggers counted one by one; the others share one budget.
MAX_LOGGERS = 200


class LineCap(logging.Filter):
    """Attach to handlers. ``lines`` and ``dropped`` count since the start of the process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._written: dict[str, deque[float]] = {}
        self._missing: dict[str, int] = {}
        self.lines = 0
        self.dropped = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Let ``record`` pass within its logger's budget; after a gap it says how many are missing."""
        known = record.name in self._written or len(self._written) < MAX_LOGGERS
        name = record.name if known else ""
        recent = self._written.setdefault(name, deque(maxlen=LINES))
        now = self._clock()
        if len(recent) == LINES and now - recent[0] < WINDOW:
            self.dropped += 1
            self._missing[name] = self._missing.get(name, 0) + 1
            return False
        recent.append(now)
        self.lines += 1
        if missing := self._missing.pop(name, 0):
            record.msg = f"{record.getMessage()} ({missing} lines before this one were dropped)"
            record.args = ()
        return True


def install() -> LineCap:
    """Cap every handler of the root logger and quiet libraries that log each request."""
    cap = LineCap()
    for handler in logging.getLogger().handlers:
        handler.addFilter(cap)
    for name in ("httpx", "httpcore", "websockets"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return cap
