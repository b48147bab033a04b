"""Django Channels as its documentation does it: a group for each topic, ``group_send`` for each row.

It has an environment of its own: the Redis channel layer does not work with the redis-py that we use.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench import payload
from bench.load import Endpoint, Publisher
from bench.processes import free_port, running
from bench.systems.base import ROOT, Place, redis_server

VENV = ROOT / "bench" / "channels" / ".venv"
PACKAGES = ("channels", "channels_redis", "daphne", "redis")


class Channels:
    """See the module."""

    name = "Channels, group_send"

    def missing(self) -> str:
        """Return which part is not installed."""
        return "" if (VENV / "bin" / "daphne").exists() else "bench/channels/.venv is not installed"

    def version(self) -> str:
        """Return the packages' versions."""
        if self.missing():
            return self.name
        code = (
            "import json,sys; from importlib.metadata import version;"
            "print(json.dumps([f'{name} {version(name)}' for name in sys.argv[1:]]))"
        )
        command = [str(VENV / "bin" / "python"), "-c", code, *PACKAGES]
        told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own environment
        return ", ".join(json.loads(told.stdout))

    @contextmanager
    def run(self, place: Place, topics: int) -> Iterator[Endpoint]:
        """Run Redis, Daphne with one consumer class, and a process that calls ``group_send``."""
        port, feed = free_port(), free_port()
        with redis_server(place) as redis_port:
            env = {"BENCH_REDIS": f"redis://127.0.0.1:{redis_port}/0", "PYTHONPATH": str(ROOT)}
            server = [str(VENV / "bin" / "daphne"), "-b", "127.0.0.1", "-p", str(port)]
            server += ["-v", "0", "bench.channels.app:application"]
            sender = [str(VENV / "bin" / "python"), "-m", "bench.channels.sender", str(feed)]
            log, cwd = place.folder / "channels.log", ROOT
            with (
                running(server, core=place.server_core, log=log, port=port, env=env, cwd=cwd) as daphne,
                running(sender, core=place.load_core, log=log, port=feed, env=env, cwd=cwd),
            ):
                rows = payload.rows(topics)
                yield Endpoint(
                    port=port,
                    path=f"/?topics={','.join(rows)}",
                    hello=b"",
                    ready="ready",
                    publisher=Publisher(kind="lines", port=feed),
                    rows=rows,
                    pids=[daphne.pid],
                )
