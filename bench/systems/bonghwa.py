"""This project: ``manage.py serve`` as in production, with the limits of connections raised by ``FEED_*``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

import httpx
import redis

from bench import payload
from bench.load import Endpoint, Publisher, masked
from bench.processes import BenchError, free_port, running, tree
from bench.systems.base import ROOT, Place, redis_server
from gateway import keys
from gateway.config import FeedConfig
from gateway.feed_queue import FRAME_BYTES
from gateway.status import FeedState, FeedStatus, GatewayStatus

#: Rows of one loop turn of the gateway that share a message; a Kiwoom frame holds fewer.
JOIN = 100
STATUS_EVERY = 5.0
DATABASE = "bonghwa.sqlite3"
#: Bytes that the server holds for one client that does not read: its queue as docs/gateway.md bounds it, and
#: what was handed to the transport before it said stop.
QUEUE_MAX = FeedConfig().queue_bytes
FRAME_MAX = 2 * (FRAME_BYTES + 64 * 1024)
FEED_LIMITS = {
    "FEED_MAX_CONNECTIONS": "20000",
    "FEED_MAX_CONNECTIONS_PER_KEY": "20000",
    "FEED_MAX_CONNECTIONS_PER_ADDRESS": "20000",
    "FEED_CONNECT_RATE": "100000",
}
#: Values of ``.env`` that must not reach a measured process.
PLAIN = {
    "NOTIFY_URLS": "",
    "DEBUG": "false",
    "ALLOWED_HOSTS": "127.0.0.1",
    "TRUSTED_PROXIES": "",
    "CSRF_TRUSTED_ORIGINS": "",
    "KIWOOM_MODE": "simulator",
    "KIWOOM_APP_KEY": "",
    "KIWOOM_SECRET_KEY": "",
    "KIWOOM_REST_URL": "",
    "KIWOOM_WS_URL": "",
    "GATEWAY_START_JITTER": "0",
    "LOG_LEVEL": "WARNING",
}


class Bonghwa:
    """See the module."""

    name = "Bonghwa"

    def missing(self) -> str:
        """Return an empty string: it is always here."""
        return ""

    def version(self) -> str:
        """Return the versions that matter."""
        words = [f"{name} {version(name)}" for name in ("daphne", "Twisted", "autobahn", "Django")]
        return f"Bonghwa {_commit()} ({', '.join(words)})"

    @contextmanager
    def run(self, place: Place, topics: int) -> Iterator[Endpoint]:
        """Run Redis and the web process; rows are published as ``gateway.bus`` does."""
        with (
            redis_server(place) as redis_port,
            self._web(place, redis_port) as (port, token, pids),
            _statuses(redis_port),
        ):
            publisher = Publisher(kind="redis", port=redis_port, join=JOIN)
            yield endpoint(port, token, topics, publisher, pids)

    @contextmanager
    def run_from_upstream(self, place: Place, topics: int) -> Iterator[tuple[Endpoint, int]]:
        """Run the gateway process too, fed by a Kiwoom server; yields the endpoint and the gateway's pid."""
        with redis_server(place) as redis_port, self._web(place, redis_port) as (port, token, pids):
            kiwoom_port, feed_port = free_port(), free_port()
            env = _env(place, redis_port, port) | {
                "KIWOOM_REST_URL": f"http://127.0.0.1:{kiwoom_port}",
                "KIWOOM_WS_URL": f"ws://127.0.0.1:{kiwoom_port}",
            }
            server = [sys.executable, "-m", "bench.kiwoom", str(kiwoom_port), str(feed_port)]
            gateway = [sys.executable, "manage.py", "run_gateway"]
            log, core = place.folder / "upstream.log", place.load_core
            with (
                running(server, core=core, log=log, port=feed_port, cwd=ROOT),
                running(gateway, core=core, log=log, port=kiwoom_port, env=env, cwd=ROOT) as process,
            ):
                publisher = Publisher(kind="lines", port=feed_port, join=JOIN)
                yield endpoint(port, token, topics, publisher, pids), process.pid

    @contextmanager
    def _web(self, place: Place, redis_port: int) -> Iterator[tuple[int, str, tuple[int, ...]]]:
        port = free_port()
        env = _env(place, redis_port, port)
        data = Path(env["DATA_DIR"])
        data.mkdir()
        (data / DATABASE).write_bytes(_migrated())
        pair = json.loads(_manage(env, "feedkey", "create", "--name", "bench", "--json"))
        command = [sys.executable, "manage.py", "serve"]
        log = place.folder / "serve.log"
        with running(command, core=place.server_core, log=log, port=port, env=env, cwd=ROOT) as process:
            yield port, _token(port, pair), tree(process.pid)


def closes(redis_port: int) -> dict[str, int]:
    """Return how the web process says its connections ended, by close code; told each five seconds."""
    with redis.Redis(port=redis_port) as client:
        total: dict[str, int] = {}
        for name in client.scan_iter(match=keys.FEED.format(process="*")):
            status = FeedStatus(**json.loads(client.get(name) or b"{}"))
            for code, count in (status.closes or {}).items():
                total[code] = total.get(code, 0) + count
        return total


def endpoint(port: int, token: str, topics: int, publisher: Publisher, pids: tuple[int, ...]) -> Endpoint:
    """Return how a client of ``/ws`` logs in with ``token`` and registers the first ``topics`` symbols."""
    items = list(payload.SYMBOLS[:topics])
    login = masked(json.dumps({"trnm": "LOGIN", "token": token}))
    data = [{"item": items, "type": ["0B"]}]
    register = masked(json.dumps({"trnm": "REG", "grp_no": "1", "refresh": "1", "data": data}))
    return Endpoint(
        port=port,
        path="/ws",
        hello=login + register,
        ready='"trnm":"REG"',
        publisher=publisher,
        rows=payload.rows(topics),
        pids=pids,
    )


def _env(place: Place, redis_port: int, port: int) -> dict[str, str]:
    data = place.folder / "data"
    return (
        PLAIN
        | FEED_LIMITS
        | {
            "DATA_DIR": str(data),
            "DATABASE_URL": f"sqlite:///{data / DATABASE}",
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "BIND": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
    )


@cache
def _migrated() -> bytes:
    """Return an SQLite database with every migration applied; making it takes seconds."""
    with tempfile.TemporaryDirectory(prefix="bonghwa-bench-") as folder:
        path = Path(folder) / DATABASE
        env = {"DATA_DIR": folder, "DATABASE_URL": f"sqlite:///{path}", "REDIS_URL": "redis://127.0.0.1:1/0"}
        _manage(PLAIN | env, "migrate", "--verbosity", "0")
        return path.read_bytes()


def _manage(env: dict[str, str], *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"manage.py {words[0]} failed:\n{done.stderr[-1500:]}")
    return done.stdout


def _token(port: int, pair: dict[str, str]) -> str:
    body = {"grant_type": "client_credentials", "appkey": pair["app_key"], "secretkey": pair["secret_key"]}
    answer = httpx.post(f"http://127.0.0.1:{port}/oauth2/token", json=body, timeout=30).json()
    if answer.get("return_code") != 0:
        raise BenchError(f"No token: {answer}")
    token: str = answer["token"]
    return token


@contextmanager
def _statuses(redis_port: int) -> Iterator[None]:
    """Say that the feed is live, as often as the gateway does, so that clients are told nothing else."""
    done = threading.Event()
    client = redis.Redis(port=redis_port)

    def tell() -> None:
        while True:
            now = time.time()
            status = GatewayStatus(
                slot="key-1", at=now, session="LIVE", feed=FeedState.LIVE, since=now, fence=1
            )
            client.set(keys.STATUS.format(slot="key-1"), status.encode(), ex=15)
            client.publish(keys.STATUS_CHANNEL, status.encode())
            if done.wait(STATUS_EVERY):
                return

    thread = threading.Thread(target=tell, name="statuses")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        client.close()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 - the git of PATH
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or version("bonghwa")
