"""A Node process that sends each row to each subscriber with the ``ws`` package."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from bench import payload
from bench.load import Endpoint, Publisher
from bench.processes import free_port, running
from bench.systems.base import ROOT, Place

FOLDER = ROOT / "bench" / "node"


class Node:
    """See the module."""

    name = "Node, ws"

    def missing(self) -> str:
        """Return which part is not installed."""
        if not _program():
            return "node is not installed"
        return "" if (FOLDER / "node_modules" / "ws").is_dir() else "npm's ws is not installed in bench/node"

    def version(self) -> str:
        """Return Node's version and the package's."""
        program = _program()
        if not program or self.missing():
            return self.name
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - found above
        package = json.loads((FOLDER / "node_modules" / "ws" / "package.json").read_text())
        return f"Node {told.stdout.strip()} with ws {package['version']}"

    @contextmanager
    def run(self, place: Place, topics: int) -> Iterator[Endpoint]:
        """Run the broadcaster; rows come as lines over TCP."""
        program = _program()
        port, feed = free_port(), free_port()
        command = [program, str(FOLDER / "broadcast.js"), str(port), str(feed)]
        log = place.folder / "node.log"
        with running(command, core=place.server_core, log=log, port=feed, cwd=FOLDER) as process:
            rows = payload.rows(topics)
            yield Endpoint(
                port=port,
                path=f"/?topics={','.join(rows)}",
                hello=b"",
                ready="ready",
                publisher=Publisher(kind="lines", port=feed),
                rows=rows,
                pids=[process.pid],
            )


def _program() -> str:
    return shutil.which("node") or ""
