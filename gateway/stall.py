"""Ends a process whose event loop does not run any more, so that its supervisor starts it anew.

Nothing that runs on the loop can notice that: no timeout fires, no signal handler of asyncio is called, and a
loop that never waits takes a whole core. A gateway that ends gives its lease to the standby after 20 s.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import time

logger = logging.getLogger(__name__)

#: Seconds that a loop may stand still. Whatever is slower than that is broken for its clients as well.
LIMIT = 30.0
EVERY = 1.0
#: Longer between two looks, and this thread did not run either: the process was paused, or the machine slept.
ASLEEP = 5.0
#: ``EX_SOFTWARE`` of sysexits.h.
CODE = 70


class LoopWatch(threading.Thread):
    """Asks ``loop`` to run something each second; when it has not for ``limit`` seconds, the process ends.

    Where every thread is, is written to standard error first.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float = LIMIT) -> None:
        super().__init__(name="loop-watch", daemon=True)
        self._loop = loop
        self._limit = limit
        self._ran = time.monotonic()

    def run(self) -> None:
        """Look until the loop is closed."""
        looked = time.monotonic()
        while True:
            time.sleep(min(EVERY, self._limit / 4))
            now = time.monotonic()
            if now - looked > ASLEEP:
                self._ran = now
            looked = now
            if now - self._ran > self._limit:
                self._end(now - self._ran)
            try:
                self._loop.call_soon_threadsafe(self._note)
            except RuntimeError:
                return

    def _note(self) -> None:
        self._ran = time.monotonic()

    def _end(self, seconds: float) -> None:
        logger.critical("The event loop has stood still for %.0f s; this process ends", seconds)
        faulthandler.dump_traceback(file=sys.stderr)
        os._exit(CODE)
