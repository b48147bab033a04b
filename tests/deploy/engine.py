"""A Docker Engine in a network namespace of its own: with its firewall, and without the machine's.

Networks of containers are kept apart, and published ports are reached, by rules that the Engine writes.
Engines of other tests must write none, since the rules would be the machine's; a namespace has its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.claims import claimed
from tests.engine import START_TIMEOUT, EngineFailed, answers
from tests.require import require
from tests.services import stop


@dataclass(frozen=True, slots=True)
class Isolated:
    """Where the Engine's API is, the address at which its published ports are reached, and this machine's."""

    host: str
    address: str
    #: This machine's address, as containers reach it.
    outside: str


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True, timeout=10)  # noqa: S603 S607 - fixed words
    if done.returncode:
        raise EngineFailed(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _gone(name: str, outer: str) -> None:
    """Remove both, whichever there are.

    A namespace outlives its name while a process or a mount of a killed Engine holds it, and its link too.
    """
    for words in (("netns", "delete", name), ("link", "delete", outer)):
        with suppress(EngineFailed):
            _ip(*words)


@contextmanager
def namespace() -> Iterator[tuple[str, str, str]]:
    """Make a network namespace that this machine reaches; yields its name, its address and this machine's.

    Raises:
        EngineFailed: it cannot be made.
    """
    with claimed("namespace", range(1, 64)) as number:
        name, outer, inner = f"bwtest{number}", f"bwt{number}a", f"bwt{number}b"
        here, there = (f"172.29.255.{4 * number - 4 + host}" for host in (1, 2))
        _gone(name, outer)  # what a killed run left; the claim is of those who live
        try:
            _ip("netns", "add", name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
            _ip("addr", "add", f"{here}/30", "dev", outer)
            _ip("link", "set", outer, "up")
            _ip("-n", name, "addr", "add", f"{there}/30", "dev", inner)
            for device in (inner, "lo"):
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "route", "add", "default", "via", here)
            yield name, there, here
        finally:
            _gone(name, outer)


@contextmanager
def isolated_engine() -> Iterator[Isolated]:
    """Start the Engine; everything of it is gone afterwards.

    Raises:
        EngineFailed: it does not come up.
    """
    require(os.geteuid() == 0 and shutil.which("dockerd") and shutil.which("ip"), "root, dockerd and ip")
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    (folder / "daemon.json").write_text("{}")
    host = f"unix://{folder}/sock"
    try:
        with namespace() as (name, address, outside), (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - a fixed program with our own arguments
                [
                    *("nsenter", f"--net=/run/netns/{name}", "dockerd", "--host", host),
                    *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                    *("--pidfile", str(folder / "pid"), "--config-file", str(folder / "daemon.json")),
                    *("--shutdown-timeout", "5"),
                ],
                stdout=log,
                stderr=log,
            )
            try:
                deadline = time.monotonic() + START_TIMEOUT
                while not answers(host):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise EngineFailed("dockerd did not start: " + (folder / "log").read_text()[-2000:])
                    time.sleep(0.1)
                yield Isolated(host, address, outside)
            finally:
                stop(process, timeout=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
