"""Processes of a run: started on a chosen core, waited for, and ended by pid."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class BenchError(Exception):
    """A run cannot go on; the message says why and what to do."""


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def spawn(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pipes: bool = False,
) -> subprocess.Popen[str]:
    """Start ``command`` on one core; what it writes goes to ``log``, or through pipes."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # inherited by the child before it can start a thread
    try:
        with log.open("ab") as sink:
            return subprocess.Popen(  # noqa: S603 - programs of this benchmark
                command,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else sink,
                stderr=sink,
                env=None if env is None else {**os.environ, **env},
                cwd=cwd,
                text=True,
            )
    finally:
        os.sched_setaffinity(0, mine)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process: SIGTERM, then SIGKILL."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    port: int,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends; yields it once ``port`` accepts connections.

    Raises:
        BenchError: it ended, or did not listen within ``START_TIMEOUT`` seconds.
    """
    process = spawn(command, core=core, log=log, env=env, cwd=cwd)
    try:
        wait_for_port(process, port, log)
        yield process
    finally:
        stop(process)


def wait_for_port(process: subprocess.Popen[str], port: int, log: Path) -> None:
    """Return once ``port`` accepts connections.

    Raises:
        BenchError: the process ended, or did not listen within ``START_TIMEOUT`` seconds.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    text = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise BenchError(f"{process.args!r} does not listen on port {port}:\n{text}")


def tree(pid: int) -> tuple[int, ...]:
    """Return the pids of a process and of everything under it."""
    process = psutil.Process(pid)
    return pid, *(child.pid for child in process.children(recursive=True))


def rss(pids: Sequence[int]) -> int:
    """Return the resident memory of processes in bytes."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


class Meter:
    """Counts what processes that are not ours take from the machine, from now on."""

    def __init__(self) -> None:
        self._at, self._busy, self._own = time.monotonic(), _busy(), _own()

    def foreign(self) -> float:
        """Return the cores that other processes have used, on average."""
        seconds = time.monotonic() - self._at
        return max(0.0, (_busy() - self._busy) - (_own() - self._own)) / seconds


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _own() -> float:
    me = psutil.Process()
    return sum(cpu_seconds(process.pid) for process in (me, *me.children(recursive=True)))


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)
