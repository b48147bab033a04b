"""The wall clock of a process is moved while it runs, and only the wall clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.faults.near import clock_env, set_clock

PROGRAM = """
import sys, time
for clock in (time.time, time.monotonic, time.time):
    sent = float(sys.stdin.readline())
    print(clock() - sent, flush=True)
"""


def test_a_running_process_sees_its_wall_clock_jump_forth_and_back(tmp_path):
    process = subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-S", "-c", PROGRAM],
        env=os.environ | clock_env(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:

        def ahead(now: float) -> float:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{now}\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        set_clock(tmp_path, 3600)
        assert 3590 < ahead(time.time()) < 3700
        assert 0 <= ahead(time.monotonic()) < 100
        set_clock(tmp_path, 0)
        assert 0 <= ahead(time.time()) < 100
