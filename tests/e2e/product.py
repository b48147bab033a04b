"""The whole product as a user runs it: ``manage.py up`` in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

import httpx
import psutil
from supervisor.xmlrpc import SupervisorTransport

from tests.conditions import wait_until
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
#: Generous, as ten processes start while other tests use the machine too.
READY_WITHIN = 150.0
STOPPED_WITHIN = 60.0
#: Settings of the run that a test's environment must not leak into the product.
OWN = ("REDIS_URL", "DATABASE_URL", "DJANGO_SETTINGS_MODULE", "NOTIFY_URLS", "WATCHER", "PYTEST_CURRENT_TEST")


class Product:
    """One running Bonghwa. ``start`` returns once it is ready; ``stop`` is Ctrl-C."""

    def __init__(self, folder: Path, **extra: str) -> None:
        self.folder = folder
        self.port, simulator, valkey = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        base = {name: value for name, value in os.environ.items() if name not in OWN}
        self.env: Mapping[str, str] = {
            **base,
            "DATA_DIR": str(folder),
            "PORT": str(self.port),
            "EMBEDDED_REDIS_PORT": str(valkey),
            "KIWOOM_REST_URL": f"http://127.0.0.1:{simulator}",
            "KIWOOM_WS_URL": f"ws://127.0.0.1:{simulator}",
            **extra,
        }
        self._files = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> str:
        """Everything printed so far."""
        return (self.folder / "console.txt").read_text()

    def start(self, within: float = READY_WITHIN) -> None:
        """Start it and wait until ``/health/ready`` is green.

        Raises:
            AssertionError: it is not within that many seconds.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        output = self._files.enter_context((self.folder / "console.txt").open("ab"))
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            wait_until(self._ready_or_dead, within, "/health/ready is green", every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.readiness()}\n{self.console}") from error
        assert self._process.poll() is None, self.console

    def _ready_or_dead(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None or self.ready()

    def ready(self) -> bool:
        """Whether ``/health/ready`` answers 200."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def readiness(self) -> str:
        """Return what ``/health/ready`` says."""
        try:
            return httpx.get(f"{self.url}/health/ready", timeout=5).text
        except httpx.HTTPError as error:
            return repr(error)

    def supervise(self, verb: str, *arguments: str) -> Any:
        """Call supervisord's XML-RPC method ``verb`` and close the connection."""
        transport = SupervisorTransport(None, None, f"unix://{self.folder / 'supervisor.sock'}")
        try:
            return getattr(ServerProxy("http://127.0.0.1", transport=transport).supervisor, verb)(*arguments)
        finally:
            transport.close()

    def pids(self) -> dict[str, int]:
        """Return the pid of each running child by name."""
        running = self.supervise("getAllProcessInfo")
        return {one["name"]: one["pid"] for one in running if one["statename"] == "RUNNING"}

    def kill(self, name: str) -> int:
        """SIGKILL one child and return the pid it had."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def add_program(self, name: str, command: str) -> None:
        """Let the supervisor run one more program."""
        (self.folder / "processes" / f"{name}.conf").write_text(
            f"[program:{name}]\ncommand={command}\ndirectory={ROOT}\nredirect_stderr=true\n"
            f"stdout_logfile={self.folder}/logs/{name}.log\nstopasgroup=true\nkillasgroup=true\n"
        )
        self.supervise("reloadConfig")
        self.supervise("addProcessGroup", name)
        wait_until(lambda: name in self.pids(), 20, f"{name} runs")

    def log_lines(self, name: str) -> int:
        """Return the number of lines in a child's current log file."""
        path = self.folder / "logs" / f"{name}.log"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def manage(self, *arguments: str) -> str:
        """Run a management command beside the running product and return its output."""
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return ``manage.py status --json``."""
        status: dict[str, Any] = json.loads(self.manage("status", "--json"))
        return status

    def processes(self) -> list[psutil.Process]:
        """Return every process on this machine that was started with this product's DATA_DIR."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("DATA_DIR") == str(self.folder):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def stop(self, within: float = STOPPED_WITHIN) -> int:
        """Press Ctrl-C and return the exit code; whatever is left after that is killed.

        Raises:
            AssertionError: it did not end in time, or it left processes behind.
        """
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(within)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"Ctrl-C did not end it\n{self.console}") from error
        finally:
            left = self.processes()
            for process in left:
                process.kill()
            self._process.wait(10)
            self._process = None
            self._files.close()
        assert not left, f"Ctrl-C left {left}\n{self.console}"
        return code

    def close(self, within: float = STOPPED_WITHIN) -> None:
        """Stop it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.stop(within)
        self._files.close()
