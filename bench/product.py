"""The whole product as ``make run`` starts it, in a folder of its own, and a receiver of its messages."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil
import redis

from bench.processes import BenchError, free_port
from bench.systems.base import ROOT
from bench.systems.bonghwa import PLAIN

READY_WITHIN_S = 120.0
STOPPED_WITHIN_S = 60.0
MIB = 1024 * 1024


class Receiver(http.server.ThreadingHTTPServer):
    """Takes Apprise's JSON messages over real HTTP and keeps them."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Keep)

    @property
    def url(self) -> str:
        """Its address as Apprise writes it."""
        return f"json://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.shutdown()
        self.server_close()


class _Keep(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Product:
    """One running Bonghwa; entering waits until it is ready, leaving stops it as Ctrl-C does."""

    def __init__(self, folder: Path, *, docker_host: str = "", channel: str = "") -> None:
        self.folder = folder
        port, simulator, self.redis_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._env = (
            os.environ
            | PLAIN
            | {
                "DATA_DIR": str(folder),
                "PORT": str(port),
                "PUBLIC_URL": self.url,
                "EMBEDDED_REDIS_PORT": str(self.redis_port),
                "REDIS_URL": "",
                "DATABASE_URL": f"sqlite:///{folder / 'bonghwa.sqlite3'}",
                "KIWOOM_REST_URL": f"http://127.0.0.1:{simulator}",
                "KIWOOM_WS_URL": f"ws://127.0.0.1:{simulator}",
                "DOCKER_HOST": docker_host or os.environ.get("DOCKER_HOST", ""),
                "NOTIFY_URLS": channel,
            }
        )

    def __enter__(self) -> Self:
        with (self.folder / "console.txt").open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._redis = redis.Redis(port=self.redis_port, socket_timeout=5)
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise BenchError(f"the product did not start:\n{(self.folder / 'console.txt').read_text()}")
            time.sleep(0.5)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._redis.close()
        left = self.processes()
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            for process in left:
                process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Return supervisord and everything under it."""
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, by processes that have ended since too."""
        used = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used += times.user + times.system + times.children_user + times.children_system
        return used

    def memory_mib(self) -> float:
        """Return the memory of all processes, pages that they share counted once (PSS)."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return total / MIB

    def last_sweep(self) -> str:
        """Return when the newest sweep of the Engine was, as the collector wrote it."""
        raw = self._redis.get("monitoring:collector:docker")
        return str(json.loads(raw)["at"]) if isinstance(raw, bytes) else ""

    def incidents(self) -> list[dict[str, Any]]:
        """Return the incidents that ``manage.py status --json`` tells."""
        done = subprocess.run(
            [sys.executable, "manage.py", "status", "--json"],
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            check=True,
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)["incidents"]
        return found
