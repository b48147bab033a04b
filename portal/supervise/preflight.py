"""What must hold before anything starts; each failure is one line that says what to do."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

#: Bytes of a Unix socket's path (108 with the closing zero), less supervisord's ``.PID`` while it binds.
SOCKET_PATH_MAX = 107 - 8
#: Seconds that processes of a killed run get to end by themselves.
PATIENCE = 40.0


class Unready(Exception):
    """Something is missing or taken; the message is one line for a person."""


def folders(data: Path) -> None:
    """Make the folders under ``data``.

    Raises:
        Unready: one of them cannot be written, or the path is too long for a socket.
    """
    for folder in (data, *(data / name for name in ("logs", "processes", "valkey", "static"))):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".write-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise Unready(f"{folder} cannot be written ({error.strerror}); set DATA_DIR.") from error
    length = len(os.fsencode(data / "supervisor.sock"))
    if length > SOCKET_PATH_MAX:
        raise Unready(
            f"DATA_DIR={data} is too long for a Unix socket ({length} bytes, at most {SOCKET_PATH_MAX}); "
            "set DATA_DIR to a shorter path."
        )


def lock(data: Path) -> int:
    """Take the lock of ``data`` for this process and what it execs; return its descriptor.

    Raises:
        Unready: another run holds it.
    """
    handle = os.open(data / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise Unready(f"Bonghwa runs already in {data} (pid {owner}); stop it or set DATA_DIR.") from error
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    os.set_inheritable(handle, True)
    return handle


def clear_leftovers(data: Path) -> None:
    """Remove what a killed supervisord left. Call it with the lock held."""
    for pattern in ("supervisor.sock", "supervisor.sock.*", "supervisord.pid"):
        for path in data.glob(pattern):
            path.unlink(missing_ok=True)


def ports(wanted: Mapping[str, tuple[str, int]], data: Path, say: Callable[[str], None]) -> None:
    """Check that each ``(address, port)`` is free; the keys are the variables that set them.

    A process of a killed run of ours gets ``PATIENCE`` seconds to end.

    Raises:
        Unready: a port is taken or cannot be bound.
    """
    deadline = time.monotonic() + PATIENCE
    told = False
    for name, (address, port) in wanted.items():
        while (error := bind_error(address, port)) is not None:
            owner = listener(port)
            ours = owner is not None and _is_ours(owner, data)
            if not ours or time.monotonic() > deadline:
                raise Unready(f"{name}: port {port} of {address} {_words(error, owner)}")
            if not told:
                say(f"waiting for a process of the last run to end (pid {owner.pid if owner else '?'})")
                told = True
            time.sleep(0.2)


def bind_error(address: str, port: int) -> OSError | None:
    """Return why ``port`` cannot be listened on, or None."""
    try:
        family, kind, proto, _name, target = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(target)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def listener(port: int) -> psutil.Process | None:
    """Return the process that listens on ``port`` when it can be seen."""
    try:
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN
            if listening and connection.laddr and connection.laddr.port == port and connection.pid:
                return psutil.Process(connection.pid)
    except (psutil.Error, OSError):
        return None
    return None


def _is_ours(process: psutil.Process, data: Path) -> bool:
    """Whether ``process`` is a child of an earlier run on the same data."""
    try:
        own = process.environ().get("BONGHWA_RUN", "")
    except (psutil.Error, OSError):
        return False
    return own == str(data)


def _words(error: OSError, owner: psutil.Process | None) -> str:
    if owner is None:
        return f"cannot be used ({error.strerror or error}); free it or choose another."
    try:
        name = " ".join(owner.cmdline())[:80] or owner.name()
    except psutil.Error:
        name = "?"
    return f"is taken by pid {owner.pid} ({name}); stop it or choose another."
