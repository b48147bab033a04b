"""Whether this process comes near its memory limit."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil

logger = logging.getLogger(__name__)


def cgroup_limit(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the lowest memory limit of this process's cgroup and those above it, in bytes.

    Version 2 and version 1 are read. None when there is no limit below the machine's own memory.
    """
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return None
    limits = []
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            base, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Without a cgroup namespace the path is the host's, which a container sees at the root itself.
        folder = base / path.strip("/")
        while folder.is_relative_to(base):
            limits.append(_read(folder / name))
            folder = folder.parent
    total = psutil.virtual_memory().total
    return min((limit for limit in limits if limit is not None and limit < total), default=None)


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


class MemoryGuard:
    """Tells whether the process uses more than ``ratio`` of ``limit`` bytes; None is no limit."""

    def __init__(self, limit: int | None, ratio: float) -> None:
        self._most = None if limit is None else limit * ratio
        self._process = psutil.Process()
        self.short = False
        self.look()

    def look(self) -> None:
        """Measure again; a change is logged."""
        if self._most is None:
            return
        used = self._process.memory_info().rss
        short = used > self._most
        if short != self.short:
            self.short = short
            what = "new feed clients are turned away" if short else "new feed clients are taken in again"
            logger.warning("%d MiB of at most %d MiB in use: %s", used >> 20, int(self._most) >> 20, what)
