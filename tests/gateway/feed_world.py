"""The feed's surroundings for tests: rows as the gateway writes them, and a real web server process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import redis
import websockets

from gateway import keys
from gateway.status import FeedState, FeedStatus, GatewayStatus, read_feeds
from tests.conditions import wait_until
from tests.databases import NAME, migrated
from tests.services import free_port, start_valkey, stop

ROOT = Path(__file__).resolve().parents[2]
SLOT = "key-1"


def row(price: int, item: str = "005930", kind: str = "0B") -> bytes:
    """Return a row as the gateway encodes it."""
    values = {"20": "101532", "10": f"-{price}", "11": "-400", "12": "-0.65", "13": "5204118", "25": "5"}
    body = {"values": values, "type": kind, "name": "주식체결", "item": item}
    return json.dumps(body, separators=(",", ":")).encode()


def reg(*items: str, kind: str = "0B", trnm: str = "REG", **fields: Any) -> str:
    """Return a REG frame as Kiwoom's clients send it."""
    data = [{"item": list(items), "type": [kind]}]
    return json.dumps({"trnm": trnm, "grp_no": "1", "refresh": "1", "data": data} | fields)


class Upstream:
    """What the gateway process would write to Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def status(self, feed: FeedState = FeedState.LIVE, *, ttl: int = 60, **fields: Any) -> None:
        """Write and publish the status of the one slot."""
        now = time.time()
        status = GatewayStatus(slot=SLOT, at=now, session="LIVE", feed=feed, since=now, fence=1, **fields)
        self.client.set(keys.STATUS.format(slot=SLOT), orjson.dumps(asdict(status)), ex=ttl)
        self.client.publish(keys.STATUS_CHANNEL, orjson.dumps(asdict(status)))

    def last(self, price: int, item: str = "005930", fence: int = 1, age: float = 0.0) -> None:
        """Write a last value that is ``age`` seconds old."""
        value = b"%d|%d|%s" % (fence, int((time.time() - age) * 1000), row(price, item))
        self.client.hset(keys.LAST, f"0B:{item}", value)

    def publish(self, *prices: int, item: str = "005930", fence: int = 1) -> int:
        """Publish rows of one topic; return how many processes heard."""
        rows = b",".join(row(price, item) for price in prices)
        heard = self.client.publish(keys.ROWS_CHANNEL.format(topic=f"0B:{item}"), b"%d|%s" % (fence, rows))
        return int(heard)

    def feed(self) -> FeedStatus:
        """Return what the one web process says of its clients."""
        (status,) = read_feeds(self.client)
        return status

    def wanted(self) -> set[str]:
        """Return the topics that some web process wants."""
        names = list(self.client.scan_iter(match=keys.WANTED.format(process="*")))
        return (
            {topic for raw in self.client.mget(names) if raw for topic in orjson.loads(raw)}
            if names
            else set()
        )


@dataclass
class Web:
    """A web server in its own process, with its own database: ``manage.py serve`` unless ``command`` is set.

    ``{port}`` in a word of ``command`` is the port.
    """

    folder: Path
    redis_url: str
    env: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    command: tuple[str, ...] = ("manage.py", "serve")

    @property
    def url(self) -> str:
        """Base URL of HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """URL of the feed."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def log(self) -> str:
        """What the server has printed."""
        return (self.folder / "serve.log").read_text()

    def environment(self) -> dict[str, str]:
        """Environment of the server and of commands beside it."""
        return os.environ | {
            "DATA_DIR": str(self.folder),
            "REDIS_URL": self.redis_url,
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            **self.env,
        }

    def manage(self, *words: str) -> str:
        """Run a management command and return its output."""
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def migrate(self) -> None:
        """Give the server a migrated database, unless another server of the test has it already."""
        kind, _, path = (
            self.environment().get("DATABASE_URL", f"sqlite:///{self.folder / NAME}").partition("///")
        )
        if kind != "sqlite:":
            self.manage("migrate", "--verbosity", "0")
        elif not Path(path).exists():
            migrated(Path(path))

    def start(self) -> None:
        """Start the server and return once it answers."""
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *(word.format(port=self.port) for word in self.command)],
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=log,
            )
        wait_until(self._answers, 30, f"the web server answers: {self.log}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/health", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def terminate(self, timeout: float = 20) -> int:
        """Send SIGTERM and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def feed_key(self, name: str) -> dict[str, str]:
        """Make a feed key and return its pair."""
        pair: dict[str, str] = json.loads(self.manage("feedkey", "create", "--name", name, "--json"))
        return pair

    def token(self, pair: dict[str, str]) -> str:
        """Return a token for a key pair."""
        answer = self.ask_token(pair["app_key"], pair["secret_key"])
        return str(answer.json()["token"])

    def ask_token(self, app_key: str, secret: str) -> httpx.Response:
        """Ask for a token as Kiwoom's clients do."""
        body = {"grant_type": "client_credentials", "appkey": app_key, "secretkey": secret}
        return httpx.post(f"{self.url}/oauth2/token", json=body, timeout=10)


@contextmanager
def web_server(folder: Path, redis_url: str | None = None, **env: str) -> Iterator[Web]:
    """Run a migrated web server, with a Valkey of its own unless one is given."""
    with running(Web(folder, redis_url or "", env)) as web:
        yield web


@contextmanager
def running(web: Web) -> Iterator[Web]:
    """Migrate and run ``web``, with a Valkey of its own unless it has one."""
    web.folder.mkdir(parents=True, exist_ok=True)
    valkey = None
    if not web.redis_url:
        port = free_port()
        valkey = start_valkey(web.folder, port)
        web.redis_url = f"redis://127.0.0.1:{port}/0"
    try:
        web.migrate()
        web.start()
        yield web
    finally:
        if web.process is not None and web.process.poll() is None:
            stop(web.process, 10)
        if valkey is not None:
            stop(valkey)


class Feed:
    """A plain client of ``/ws``."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, frame: str | dict[str, Any]) -> None:
        """Send a frame."""
        await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self, within: float = 5.0) -> dict[str, Any]:
        """Return the next frame that is no PING."""
        async with asyncio.timeout(within):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if frame["trnm"] != "PING":
                    return frame

    async def until(self, trnm: str, within: float = 5.0, **fields: Any) -> dict[str, Any]:
        """Return the next frame with this trnm and these fields, passing over others for a minute at most."""
        async with asyncio.timeout(max(60.0, within)):
            while True:
                frame = await self.receive(within)
                if frame["trnm"] == trnm and all(frame.get(name) == value for name, value in fields.items()):
                    return frame

    async def login(self, token: str, **fields: Any) -> dict[str, Any]:
        """Log in and return the reply."""
        await self.send({"trnm": "LOGIN", "token": token, **fields})
        return await self.receive()

    async def closed(self, within: float = 10.0) -> tuple[int | None, dict[str, Any]]:
        """Wait for the close and return its code and reason."""
        async with asyncio.timeout(within):
            async for _ in _drained(self.socket):
                pass
        reason = self.socket.close_reason or ""
        return self.socket.close_code, json.loads(reason) if reason.startswith("{") else {"reason": reason}


async def _drained(socket: websockets.ClientConnection):
    try:
        async for frame in socket:
            yield frame
    except websockets.ConnectionClosed:
        return


def prices(frame: dict[str, Any]) -> list[int]:
    """Return the prices of a REAL frame's rows."""
    return [abs(int(one["values"]["10"])) for one in frame["data"]]


def stopped_reader(port: int, token: str, item: str) -> socket.socket:
    """Log in and register with a plain socket that then never reads again."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert b"101" in sock.recv(4096)  # the last that is read
    for frame in ({"trnm": "LOGIN", "token": token}, json.loads(reg(item))):
        payload = json.dumps(frame).encode().ljust(126)
        sock.sendall(b"\x81\xfe" + len(payload).to_bytes(2, "big") + b"\x00\x00\x00\x00" + payload)
    return sock
