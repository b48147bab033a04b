"""nats-server over WebSocket: clients speak the NATS protocol inside frames, rows come over TCP."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench import payload
from bench.load import Endpoint, Publisher, masked
from bench.processes import free_port, running
from bench.systems.base import Place

CONFIG = """
listen: 127.0.0.1:{port}
max_connections: 20000
max_pending: 268435456
websocket {{
  listen: 127.0.0.1:{websocket}
  no_tls: true
  compression: false
}}
"""


class Nats:
    """See the module."""

    name = "nats-server, WebSocket"

    def missing(self) -> str:
        """Return which part is not installed."""
        return "" if _program() else "nats-server is not installed"

    def version(self) -> str:
        """Return the server's version."""
        program = _program()
        if not program:
            return self.name
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - found above
        return told.stdout.strip().replace(": ", " ")

    @contextmanager
    def run(self, place: Place, topics: int) -> Iterator[Endpoint]:
        """Run the server on one core."""
        program = _program()
        port, websocket = free_port(), free_port()
        config = place.folder / "nats.conf"
        config.write_text(CONFIG.format(port=port, websocket=websocket))
        command, log = [program, "-c", str(config)], place.folder / "nats.log"
        with running(command, core=place.server_core, log=log, port=websocket) as process:
            rows = payload.rows(topics)
            words = ['CONNECT {"verbose":false,"pedantic":false}']
            words += [f"SUB {topic} {number}" for number, topic in enumerate(rows, 1)]
            yield Endpoint(
                port=websocket,
                path="/",
                hello=masked("\r\n".join([*words, "PING", ""])),
                ready="PONG",
                publisher=Publisher(kind="nats", port=port),
                rows=rows,
                pids=[process.pid],
            )


def _program() -> str:
    return shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/bin") or ""
