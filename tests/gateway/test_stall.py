"""A process whose event loop stands still ends and says where; one that was only paused goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.stall import CODE
from tests.services import stop

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import asyncio, sys
from gateway import stall

async def main():
    stall.LoopWatch(asyncio.get_running_loop(), limit=0.5).start()
    print("started", flush=True)
    {then}
    print("done", flush=True)

def spin():
    while True:
        pass

stall.ASLEEP = 1.0
asyncio.run(main())
"""


@contextmanager
def running(then):
    command = [sys.executable, "-c", PROGRAM.format(then=then)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:  # noqa: S603 - our own program
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == b"started\n"
            yield program
        finally:
            stop(program)


@pytest.mark.parametrize("then", ["spin()", "import time; time.sleep(60)"], ids=["spins", "sleeps"])
def test_a_loop_that_stands_still_ends_the_process_which_says_where(then):
    with running(then) as program:
        assert program.wait(30) == CODE

        said = program.stderr.read()
    assert b"most recent call first" in said
    assert b"main" in said


def test_a_loop_that_runs_and_a_process_that_was_paused_go_on():
    with running("await asyncio.sleep(3)") as program:
        program.send_signal(signal.SIGSTOP)
        time.sleep(2)
        program.send_signal(signal.SIGCONT)

        assert program.wait(30) == 0
        assert program.stdout.read() == b"done\n"
