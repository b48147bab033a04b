"""The runs on one machine: every fault, and the few of CI."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.databases import NAME, migrated
from tests.faults import near
from tests.faults.series import Fault, chosen, series
from tests.faults.site import Site, a_site
from tests.faults.table import Result
from tests.proof.world import Unplayable

#: Room of DATA_DIR; the database, the logs and Redis's file take some 20 MB of it.
DISK = "160m"
HOUR_S = 3600
#: Longer than the lease of the gateway, and than Redis's clients wait.
PAUSE_S = 20.0
STORM_S = 20.0
STORMS = ("refuse", "accept-then-close", "mute", "flap")


def everything() -> Sequence[Fault]:
    """Return the faults of the full run."""
    return (
        *(near.kill(program) for program in near.PROGRAMS),
        *(near.pause(program, PAUSE_S) for program in near.PROGRAMS),
        near.redis_restart(keeps=True, seconds=5.0),
        near.redis_restart(keeps=False, seconds=5.0),
        near.disk_full(PAUSE_S),
        *(near.storm(name, STORM_S) for name in STORMS),
        near.clock_jump("clock forward 1 h", HOUR_S, 5.0),
        near.clock_jump("clock back 1 h", 0, 5.0),
    )


def few() -> Sequence[Fault]:
    """Return the faults of CI, which need no root and are short; a program falls ill with the first."""
    first, *others = (
        near.kill("worker-ops"),
        near.kill("web"),
        near.redis_restart(keeps=False, seconds=2.0),
        near.pause("gateway", 2.0),
    )
    return (first, *(replace(fault, ill=False) for fault in others))


def play(only: str, slack: float, *, short: bool) -> Iterator[Result]:
    """Play the faults whose name holds ``only``."""
    faults = chosen(few() if short else everything(), only)
    return series(faults, lambda: _ready(faults, short=short), slack)


@contextmanager
def _ready(faults: Sequence[Fault], *, short: bool) -> Iterator[Site]:
    with folder(disk=not short) as data:
        migrated(data / NAME)
        with a_site(data, **_environment(data, faults)) as site:
            yield site


def _environment(data: Path, faults: Sequence[Fault]) -> Mapping[str, str]:
    moved = any(fault.name.startswith("clock") for fault in faults)
    return near.clock_env(data) if moved else {}


@contextmanager
def folder(*, disk: bool) -> Iterator[Path]:
    """Yield a folder, on a small file system of its own if asked to."""
    if disk and os.geteuid() != 0:
        raise Unplayable("a disk that can be filled needs root, to mount a small tmpfs")
    with tempfile.TemporaryDirectory(prefix="bw-") as name:
        if not disk:
            yield Path(name)
            return
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", name], check=True)  # noqa: S603, S607 - util-linux
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)  # noqa: S603, S607 - util-linux
