"""supervisord in the foreground with a quiet console: one line for each change of a child.

Started by ``manage.py up`` through exec, so that no Django stays in memory. Children die with it, even
when it is killed: the kernel sends them SIGTERM (Linux).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Any, TextIO

from supervisor import events
from supervisor.medusa import asyncore_25
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

PR_SET_PDEATHSIG = 1


class Options(ServerOptions):  # type: ignore[misc] # supervisor has no types
    """supervisord's options with children that do not outlive it."""

    def setpgrp(self) -> Any:
        """Run in the child between fork and exec: ask for SIGTERM when the parent dies."""
        if sys.platform == "linux":
            _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        return super().setpgrp()


class Foreground(Supervisor):  # type: ignore[misc] # supervisor has no types
    """supervisord that tells the console what happens to its children."""

    def runforever(self) -> None:
        """Supervise until told to stop."""
        events.subscribe(events.ProcessStateEvent, tell)
        events.subscribe(events.SupervisorStoppingEvent, lambda _event: say("stopping"))
        super().runforever()


class Console:
    """A stream whose reader may go away and whose disk may be full: what cannot be written is lost.

    supervisord prints what its own log could not take, in the midst of its loop; were that to raise, a full
    disk would end everything.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written; return the length of ``text``."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(text: str) -> None:
    """Print one line to the console."""
    sys.stdout.write(f"bonghwa: {text}\n")
    sys.stdout.flush()


def tell(event: Any) -> None:
    """Put one change of a child into words."""
    name = event.process.config.name
    kind = type(event).__name__.removeprefix("ProcessState").removesuffix("Event")
    words = {
        "Running": f"is up (pid {event.process.pid})",
        "Backoff": f"did not start (try {event.process.backoff}); trying again",
        "Fatal": "was given up: it does not start; see its log",
        "Stopped": "stopped",
        "Exited": "died; starting it again",
    }.get(kind)
    if words and not (kind == "Exited" and getattr(event, "expected", False)):
        say(f"{name:<15} {words}")


def main(configuration: str) -> None:
    """Supervise what ``configuration`` lists until SIGINT or SIGTERM, then stop it in reverse order."""
    sys.stdout, sys.stderr = Console(sys.stdout), Console(sys.stderr)
    first = True
    while True:
        options = Options()
        options.realize(["-c", configuration, "-n"], doc="bonghwa")
        options.first = first
        options.test = False
        with suppress(asyncore_25.ExitNow):
            Foreground(options).main()
        options.close_httpservers()
        options.close_logger()
        first = False
        if options.mood < SupervisorStates.RESTARTING:
            say("everything has stopped")
            return


_libc = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    os.umask(0o077)
    main(sys.argv[1])
