"""End users of a running product and an upstream for it: the benchmark's generator on both sides."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import machine
from bench.load import Load, Publisher, Sample, build
from bench.processes import BenchError, running
from bench.systems.bonghwa import JOIN, endpoint
from gateway.config import SIMULATOR_KEY
from tests.e2e.product import ROOT, Product
from tests.proof.background import meanwhile
from tests.services import free_port

#: Half of what the benchmark sends from the upstream: 2,000 rows/s to 1,000 clients of 20 symbols.
CLIENTS, SYMBOLS, ROWS_PER_S = 1000, 20, 1000.0
#: Seconds of one measured stretch, and stretches after which every client leaves and comes again.
STRETCH_S, STRETCHES = 15.0, 16


@dataclass(slots=True)
class Upstream:
    """Ports of a Kiwoom server whose rows come from the generator."""

    kiwoom: int = field(default_factory=free_port)
    rows: int = field(default_factory=free_port)

    def environment(self) -> Mapping[str, str]:
        """Settings of a product that connects to it, and lets this many clients in from one address."""
        app_key, secret = SIMULATOR_KEY
        many = str(2 * CLIENTS)
        return {
            "KIWOOM_MODE": "mock",
            "KIWOOM_REST_URL": f"http://127.0.0.1:{self.kiwoom}",
            "KIWOOM_WS_URL": f"ws://127.0.0.1:{self.kiwoom}",
            "KIWOOM_APP_KEY": app_key,
            "KIWOOM_SECRET_KEY": secret,
            "GATEWAY_CALENDAR": "always",
            "FEED_MAX_CONNECTIONS": many,
            "FEED_MAX_CONNECTIONS_PER_KEY": many,
            "FEED_MAX_CONNECTIONS_PER_ADDRESS": many,
            "FEED_CONNECT_RATE": many,
        }

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the block ends."""
        machine.raise_file_limit()
        command = [sys.executable, "-m", "bench.kiwoom", str(self.kiwoom), str(self.rows)]
        _, core = machine.cores()
        with tempfile.TemporaryDirectory(prefix="bw-upstream-") as folder:
            log = Path(folder) / "upstream.log"
            with running(command, core=core, log=log, port=self.rows, cwd=ROOT):
                yield


class Feed:
    """Clients that come, read for some minutes, leave, and come again, in a thread until the block ends."""

    def __init__(self, product: Product, upstream: Upstream, folder: Path, clients: int, rate: float) -> None:
        self.clients, self.rate = clients, rate
        self.stretches: list[Sample] = []
        self.rounds = 0
        self.failed = ""
        self._done = threading.Event()
        self._folder = folder
        self._program = build(folder)
        pair = json.loads(product.manage("feedkey", "create", "--name", "soak", "--json"))
        body = {
            "grant_type": "client_credentials",
            "appkey": pair["app_key"],
            "secretkey": pair["secret_key"],
        }
        token = httpx.post(f"{product.url}/oauth2/token", json=body, timeout=30).json()["token"]
        publisher = Publisher(kind="lines", port=upstream.rows, join=JOIN)
        self._endpoint = endpoint(product.port, token, SYMBOLS, publisher, (product.pids()["web"],))

    def once(self, stretches: int) -> None:
        """Let every client come, read for so many stretches, and leave.

        Raises:
            BenchError: a client was refused, or the generator ended.
        """
        _, core = machine.cores()
        with Load(self._program, self._endpoint, self.clients, core=core, folder=self._folder) as load:
            self.rounds += 1
            for _ in range(stretches):
                if self._done.is_set():
                    return
                self.stretches.append(load.paced(self.rate, warm_up=0.0, seconds=STRETCH_S))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep clients on the feed until the block ends."""
        self.stretches.clear()
        self.rounds = 0
        with meanwhile(self._run, self._done, "clients"):
            yield

    def _run(self) -> None:
        try:
            while not self._done.is_set():
                self.once(STRETCHES)
        except BenchError as error:
            self.failed = str(error)

    @property
    def dead(self) -> int:
        """Clients that were disconnected while they read."""
        return sum(one.dead for one in self.stretches)

    def __str__(self) -> str:
        """What was carried."""
        seconds = sum(one.seconds for one in self.stretches) or 1.0
        delivered = sum(one.delivered for one in self.stretches)
        p99 = max((one.p99 for one in self.stretches), default=0.0)
        cpu = sum(one.server_cpu for one in self.stretches) / seconds
        return (
            f"{self.clients:,} clients came {self.rounds} times; {self.rate:,.0f} rows/s in, "
            f"{delivered / seconds:,.0f} rows/s out, {sum(one.lost for one in self.stretches):,} lost, "
            f"{self.dead} disconnected, worst p99 of {STRETCH_S:g} s {p99:.0f} ms, web {cpu:.2f} of a core"
        )
