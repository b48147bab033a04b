"""The supervisor outlives a disk on which neither its logs nor its console can be written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.conditions import wait_until
from tests.require import require
from tests.services import stop

ROOT = Path(__file__).resolve().parent.parent.parent
#: Written to, it says that no space is left.
FULL = Path("/dev/full")
#: A program that writes a line and ends, again and again: its output and its end both have to be logged.
CONFIGURATION = """
[supervisord]
logfile=/dev/full
logfile_maxbytes=0
pidfile={folder}/pid
nodaemon=true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[program:talker]
command=/bin/sh -c 'echo $$$$ >> {folder}/starts; echo words; exec sleep 0.05'
startsecs=0
autorestart=true
redirect_stderr=true
stdout_logfile=/dev/full
stdout_logfile_maxbytes=0
"""


@contextmanager
def supervising(folder: Path) -> Iterator[psutil.Process]:
    """Run the supervisor on a full disk until the block ends."""
    configuration = folder / "supervisord.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    with FULL.open("w") as nowhere:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "portal.supervise.daemon", str(configuration)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=nowhere,
            stderr=nowhere,
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        stop(process)


def test_a_full_disk_does_not_end_the_supervisor_and_children_are_started_again(tmp_path: Path) -> None:
    require(FULL.exists(), "/dev/full")
    starts = tmp_path / "starts"

    with supervising(tmp_path) as supervisor:
        wait_until(lambda: starts.exists() and len(starts.read_text().split()) >= 5, 30, "started again")

        assert supervisor.is_running()
        assert supervisor.status() != psutil.STATUS_ZOMBIE
