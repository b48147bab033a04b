"""The namespace that an Engine of the tests gets."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.deploy.engine import namespace
from tests.require import require

KILLED = """
import os, signal, subprocess
from tests.deploy.engine import namespace

with namespace() as (name, _address, _outside):
    inside = ["nsenter", f"--net=/run/netns/{name}", "sh", "-c", "echo $$; exec sleep 60"]
    with subprocess.Popen(inside, stdout=subprocess.PIPE) as kept:
        os.write(1, kept.stdout.readline())
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_does_not_stop_the_next(tmp_path: Path) -> None:
    require(os.geteuid() == 0 and shutil.which("ip"), "root and ip")
    # It starts no server and makes no folder that nobody would remove.
    given = os.environ | {"TEST_REDIS_URL": os.environ["REDIS_URL"], "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, env=given) as killed:  # noqa: S603 - our own program
        assert killed.stdout
        kept = int(killed.stdout.readline())
    try:
        with namespace() as (_name, address, _outside), socket.socket() as caller:
            caller.settimeout(5)
            reached = caller.connect_ex((address, 9))
    finally:
        os.kill(kept, signal.SIGKILL)

    assert (killed.returncode, errno.errorcode[reached]) == (-signal.SIGKILL, "ECONNREFUSED")
