"""Parts of the product that a proof takes away: an Engine and a database of its own, Redis, the channel."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import docker
import psutil

from tests.conditions import wait_until
from tests.engine import bridge, launch, run_quietly
from tests.proof.world import Unplayable, World, clean
from tests.servers import listens, postgres_programs
from tests.services import free_port, stop

PARTS = ("engine", "redis", "database", "channel")


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the options of ``outages``; ``only`` becomes the tuple of parts to take away."""
    parser = argparse.ArgumentParser(prog="make prove-outages")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long each part is away")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--slack", type=float, default=1.0, help="stretches the times, on a busy machine")
    found = parser.parse_args(arguments)
    found.only = tuple(part.strip() for part in found.only.split(","))
    if unknown := set(found.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return found


class Part(Protocol):
    """Something that goes away and comes back as it was."""

    def take(self) -> None:
        """Take it away; returns once it is gone."""

    def give(self) -> None:
        """Bring it back; returns once it answers. May be repeated."""


@dataclass(slots=True)
class Engine:
    """A dockerd that leaves its containers running when it ends."""

    folder: Path
    network: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """Its address."""
        return f"unix://{self.folder}/sock"

    def take(self) -> None:
        """End it; what its containers do meanwhile it learns when it is back."""
        if self.process is not None:
            stop(self.process, timeout=30)
            self.process = None

    def give(self) -> None:
        """Start it on what it left."""
        if self.process is None:
            self.process = launch(self.folder, self.host, (*self.network, "--live-restore"))


@dataclass(slots=True)
class Postgres:
    """A PostgreSQL server; as root it runs as the user ``postgres``.

    ``inside`` are words before its command, such as those that run it in a network namespace.
    """

    folder: Path
    programs: Path
    port: int = field(default_factory=free_port)
    address: str = "127.0.0.1"
    inside: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``DATABASE_URL``."""
        return f"postgres://postgres@{self.address}:{self.port}/postgres"

    @property
    def _owner(self) -> Sequence[str]:
        return ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()

    def make(self) -> None:
        """Make an empty database."""
        if self._owner:
            shutil.chown(self.folder, "postgres")
        initdb = [*self._owner, str(self.programs / "initdb"), "-D", str(self.folder / "data")]
        subprocess.run(  # noqa: S603 - Debian's own program
            [*initdb, "-U", "postgres", "-A", "trust", "--no-sync"], check=True, capture_output=True, cwd="/"
        )
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")

    def take(self) -> None:
        """Kill the server with everything that it had not finished."""
        if self.process is None:
            return
        everyone = psutil.Process(self.process.pid).children(recursive=True)
        for one in everyone:
            one.kill()
        self.process.kill()
        self.process.wait(20)
        psutil.wait_procs(everyone, timeout=20)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.process = None

    def give(self) -> None:
        """Start it; it recovers from its log."""
        if self.process is not None:
            return
        command = [
            *(*self.inside, *self._owner, str(self.programs / "postgres"), "-D", str(self.folder / "data")),
            *("-p", str(self.port), "-c", f"listen_addresses={self.address}"),
            *("-c", f"unix_socket_directories={self.folder}"),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")  # noqa: S603 - Debian's own program
        wait_until(lambda: listens(self.port, self.address), 60, "PostgreSQL accepts connections")


@dataclass(slots=True)
class Redis:
    """The product's embedded Redis, stopped and started by its own supervisor."""

    world: World
    gone: bool = False

    def take(self) -> None:
        """Stop it and keep it stopped."""
        self.gone = True
        self.world.product.supervise("stopProcess", "valkey")

    def give(self) -> None:
        """Start it."""
        if self.gone:
            self.world.product.supervise("startProcess", "valkey")
            self.gone = False


@dataclass(slots=True)
class Channel:
    """The receiver of messages: nobody listens on its port while it is away."""

    world: World
    gone: bool = False

    def take(self) -> None:
        """Refuse connections."""
        self.world.receiver.leave()
        self.gone = True

    def give(self) -> None:
        """Listen on the same port again."""
        if self.gone:
            self.world.receiver.come_back()
            self.gone = False


@contextmanager
def a_database(address: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[Postgres]:
    """Yield a running, empty PostgreSQL server."""
    programs = postgres_programs()
    if programs is None:
        raise Unplayable("PostgreSQL is missing (Debian package postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="bw-pg-"))
    server = Postgres(folder, programs, address=address, inside=inside)
    try:
        server.make()
        server.give()
        yield server
    finally:
        server.take()
        shutil.rmtree(folder, ignore_errors=True)


def _empty(engine: Engine) -> None:
    """Remove every container: they would outlive this Engine."""
    engine.give()
    client = docker.DockerClient(base_url=engine.host, timeout=30)
    try:
        clean(client)
    finally:
        client.close()


def _unmount(folder: Path) -> None:
    """End the mounts that an Engine leaves to its next start."""
    for mounted in reversed(psutil.disk_partitions(all=True)):
        if Path(mounted.mountpoint).is_relative_to(folder):
            run_quietly("umount", mounted.mountpoint)


@contextmanager
def an_engine_of_our_own() -> Iterator[Engine]:
    """Yield a running Engine that may be ended: the machine's own is left alone."""
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise Unplayable("an Engine that may be ended is needed: dockerd, and root to start it")
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    try:
        with bridge() as network:
            engine = Engine(folder, network)
            try:
                engine.give()
                yield engine
            finally:
                _empty(engine)
                engine.take()
    finally:
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
