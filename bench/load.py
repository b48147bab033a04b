"""Drives the load generator: compiles it, connects its clients, and reads what it measured."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from bench.processes import BenchError, spawn, stop

SOURCES = sorted(Path(__file__).with_name("generator").glob("*.c"))
FLAGS = ("-O2", "-Wall", "-Wextra", "-Wno-sign-compare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Where the generator writes rows. ``join``: rows of one topic and millisecond in one message, at most.

    ``redis`` writes what ``gateway.bus`` writes, ``lines`` writes ``TOPIC ROW,ROW`` and a newline.
    """

    kind: Literal["redis", "http", "nats", "lines", "none"]
    port: int
    join: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How a client of a system connects. ``hello`` is sent after the upgrade; ``ready`` ends the answers."""

    port: int
    path: str
    hello: bytes
    ready: str
    publisher: Publisher
    rows: Mapping[str, bytes]
    pids: Sequence[int]

    @property
    def request(self) -> bytes:
        """The WebSocket handshake."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A measured phase. Times in seconds, latencies (publish to receipt) and ``late`` in ms, sizes bytes.

    ``late`` is the longest that the publisher was held up. ``lost`` rows are counted after the clients had
    time to read on; ``wrong`` clients got as many rows as were published, but not the same; ``dead`` ones
    were disconnected. ``foreign`` is how many cores processes used that are not the benchmark's.
    """

    seconds: float
    offered: int
    published: int
    delivered: int
    frames: int
    bytes: int
    lost: int
    wrong: int
    p50: float
    p99: float
    p999: float
    worst: float
    late: float
    server_cpu: float
    own_cpu: float
    rss: int
    rss_peak: int
    dead: int
    foreign: float = 0.0

    @property
    def per_cpu_second(self) -> float:
        """Rows delivered for each second of the server's CPU."""
        return self.delivered / self.server_cpu if self.server_cpu else 0.0

    @property
    def per_second(self) -> float:
        """Rows delivered for each second of time."""
        return self.delivered / self.seconds

    @property
    def rows_per_frame(self) -> float:
        """How many rows share a WebSocket frame."""
        return self.delivered / max(1, self.frames)

    @property
    def own_us(self) -> float:
        """The generator's own cost in microseconds for each row, publishing included."""
        return self.own_cpu / self.delivered * 1e6 if self.delivered else 0.0

    @property
    def own_share(self) -> float:
        """Share of its core that the generator used."""
        return self.own_cpu / self.seconds

    @property
    def server_share(self) -> float:
        """Cores that the server used."""
        return self.server_cpu / self.seconds


def masked(text: str) -> bytes:
    """Return a client's text frame. The mask is zeros, which changes nothing and is allowed."""
    payload = text.encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + payload


def build(folder: Path) -> Path:
    """Compile the generator and return the program.

    Raises:
        BenchError: there is no C compiler, or it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BenchError("The load generator needs a C compiler: apt-get install gcc libc6-dev")
    program = folder / "load"
    done = subprocess.run(  # noqa: S603 - the compiler found above
        [compiler, *FLAGS, "-o", str(program), *map(str, SOURCES)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"The load generator does not compile:\n{done.stderr[-1500:]}")
    return program


class Load:
    """A running generator with ``clients`` connected clients; a context manager."""

    def __init__(self, program: Path, endpoint: Endpoint, clients: int, *, core: int, folder: Path) -> None:
        request, hello, topics = folder / "request", folder / "hello", folder / "topics"
        request.write_bytes(endpoint.request)
        hello.write_bytes(endpoint.hello)
        topics.write_bytes(
            b"".join(name.encode() + b"\t" + row + b"\n" for name, row in endpoint.rows.items())
        )
        publisher = endpoint.publisher
        command = [str(program), "-p", str(endpoint.port), "-n", str(clients), "-r", str(request)]
        command += ["-h", str(hello), "-m", endpoint.ready, "-t", str(topics)]
        command += ["-k", publisher.kind, "-P", str(publisher.port), "-j", str(publisher.join)]
        command += [part for pid in endpoint.pids for part in ("-s", str(pid))]
        self._process = spawn(command, core=core, log=folder / "load.log", pipes=True)
        try:
            connected = self._answer()
        except BaseException:
            stop(self._process)
            raise
        self.connect_seconds: float = connected["seconds"]
        self.connect_cpu: float = connected["server_cpu"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop(self._process)

    def saturate(self, window: int, *, warm_up: float = 1.0, seconds: float = 3.0) -> Sample:
        """Keep ``window`` rows on their way to each client."""
        return Sample(**self._do(f"closed {window} {warm_up} {seconds}"))

    def paced(self, rate: float, *, warm_up: float = 1.0, seconds: float = 3.0) -> Sample:
        """Publish ``rate`` rows a second, whatever arrives."""
        return Sample(**self._do(f"open {rate} {warm_up} {seconds}"))

    def idle(self, seconds: float) -> int:
        """Stay connected without rows; returns the server's resident memory afterwards."""
        rss: int = self._do(f"idle {seconds}")["rss"]
        return rss

    def stall(self, count: int) -> None:
        """Stop reading on ``count`` connections."""
        self._do(f"stall {count}")

    def resume(self, seconds: float) -> dict[str, int]:
        """Read on where reading stopped, until the server has closed; returns how often by close code."""
        closes: dict[str, int] = self._do(f"resume {seconds}")["closes"]
        return closes

    def _do(self, line: str) -> dict[str, Any]:
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise BenchError(f"The load generator ended (status {self._process.wait()})")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"Load generator: {answer['error']}")
        return answer
