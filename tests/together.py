"""Processes of the tests that do the same thing at the same moment, however long each takes to start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = "ready to go\n"


def await_the_others() -> None:
    """Say that this process is ready, and return when all are told to go."""
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.readline()


def start(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[subprocess.Popen[str]]:
    """Start Python with each of ``commands``, and let all go once the last is ready.

    Raises:
        AssertionError: one ended before that.
    """
    processes = [
        subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]
    for process in processes:
        assert process.stdout is not None
        said = process.stdout.readline()
        while said not in (READY, ""):
            said = process.stdout.readline()
        assert said, f"{process.args!r} ended before it was ready"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return processes
