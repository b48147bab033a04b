"""Real places to run services for the runtimes' contract: a supervisord of our own, and a Docker Engine."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import docker
from docker.errors import NotFound
from supervisor.xmlrpc import SupervisorTransport

from portal.monitoring.runtimes.base import Runtime
from portal.monitoring.runtimes.docker import DockerRuntime
from portal.monitoring.runtimes.process import ProcessRuntime
from tests.conditions import wait_until
from tests.services import stop

_numbers = itertools.count(1)
SUPERVISORD = """
[unix_http_server]
file={folder}/supervisor.sock
[supervisord]
nodaemon=true
pidfile={folder}/supervisord.pid
logfile={folder}/supervisord.log
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[include]
files={folder}/processes/*.conf
"""
PROGRAM = """
[program:{name}]
command=/bin/sh {folder}/{name}.sh
stdout_logfile={folder}/{name}.log
redirect_stderr=true
startsecs=0
autorestart={restart}
stopasgroup=true
killasgroup=true
stopwaitsecs=1
"""


class Lab(Protocol):
    """Starts shell scripts as services of one runtime; everything is stopped at the end."""

    def runtime(self, memory: MutableMapping[str, Any] | None = None) -> Runtime:
        """Return the runtime to test; the lab closes it."""
        ...

    def start(
        self,
        script: str,
        *,
        labels: dict[str, str] | None = None,
        check: bool | None = None,
        restarts: bool = False,
    ) -> str:
        """Run ``script`` with ``sh`` and a health check that passes or fails; returns the runtime's id."""
        ...

    def stop(self, runtime_id: str) -> None:
        """Stop it the way a person does."""
        ...


def _heartbeat(key: str) -> float | None:
    """Return that the lively one was heard just now, and no other ever."""
    return time.time() if key == "lively" else None


class ProcessLab:
    """Programs of a supervisord."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def supervisor(self) -> Iterator[Any]:
        """supervisord's XML-RPC."""
        transport = SupervisorTransport(None, None, f"unix://{self.folder}/supervisor.sock")
        try:
            yield xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor
        finally:
            transport.close()

    def runtime(self, memory: MutableMapping[str, Any] | None = None) -> Runtime:
        """Return a runtime over this supervisord."""
        kept = {} if memory is None else memory
        return ProcessRuntime(self.folder, heartbeat=_heartbeat, memory=kept)

    def start(
        self,
        script: str,
        *,
        labels: dict[str, str] | None = None,
        check: bool | None = None,
        restarts: bool = False,
    ) -> str:
        """Add a program with its descriptor and start it; a failing check is a heartbeat that never came."""
        name, processes = f"job-{next(_numbers)}", self.folder / "processes"
        beat = {"kind": "heartbeat", "key": "lively" if check else "silent", "max_age_s": 10}
        descriptor = {
            "name": name,
            "log": str(self.folder / f"{name}.log"),
            "health": None if check is None else beat,
            "labels": labels or {},
        }
        (processes / f"{name}.json").write_text(json.dumps(descriptor))
        (self.folder / f"{name}.sh").write_text(script)
        program = PROGRAM.format(name=name, folder=self.folder, restart=str(restarts).lower())
        (processes / f"{name}.conf").write_text(program)
        with self.supervisor() as supervisor:
            supervisor.reloadConfig()
            supervisor.addProcessGroup(name)
            wait_until(lambda: supervisor.getProcessInfo(name)["start"], what=f"{name} starts")
        return name

    def stop(self, runtime_id: str) -> None:
        """Stop the program."""
        with self.supervisor() as supervisor:
            supervisor.stopProcess(runtime_id, True)


@contextmanager
def supervisord(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisord in ``folder`` without programs; yields it once it answers."""
    (folder / "processes").mkdir(exist_ok=True)
    config = folder / "supervisord.conf"
    config.write_text(SUPERVISORD.format(folder=folder))
    process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        lab = ProcessLab(folder)

        def answers() -> bool:
            with suppress(OSError, xmlrpc.client.Error), lab.supervisor() as supervisor:
                return bool(supervisor.getState())
            return False

        wait_until(answers, what="supervisord answers")
        yield process
        with suppress(OSError), lab.supervisor() as supervisor:
            supervisor.stopAllProcesses(True)  # all at once; its own end takes a second for each
    finally:
        stop(process, timeout=10)


@contextmanager
def process_lab() -> Iterator[ProcessLab]:
    """Run a lab in a short path, since a Unix socket's is limited."""
    with tempfile.TemporaryDirectory(prefix="bw-") as name, supervisord(Path(name)):
        yield ProcessLab(Path(name))


class DockerLab:
    """Containers of one Engine, all with names of their own."""

    def __init__(self, host: str, image: str) -> None:
        self.host, self.image = host, image
        self.client = docker.DockerClient(base_url=host, timeout=30)
        self.made: list[str] = []
        self.runtimes: list[DockerRuntime] = []

    def runtime(self, memory: MutableMapping[str, Any] | None = None) -> Runtime:
        """Return a runtime over this Engine."""
        runtime = DockerRuntime(self.host, memory=memory)
        self.runtimes.append(runtime)
        return runtime

    def start(
        self,
        script: str,
        *,
        labels: dict[str, str] | None = None,
        check: bool | None = None,
        restarts: bool = False,
        **options: Any,
    ) -> str:
        """Run a container; its check runs each second and is unhealthy at the third failure."""
        if check is not None:
            command = "true" if check else "echo '\x1b[31mtoken=hunter2 refused\x1b[0m'; exit 1"
            second = 1_000_000_000
            options["healthcheck"] = {"test": ["CMD-SHELL", command], "interval": second, "retries": 3}
        container = self.client.containers.run(
            self.image,
            ["sh", "-c", script],
            name=f"bw-{os.getpid()}-{next(_numbers)}",
            detach=True,
            labels=labels or {},
            restart_policy={"Name": "always"} if restarts else None,
            **options,
        )
        self.made.append(str(container.id))
        return str(container.id)

    def stop(self, runtime_id: str) -> None:
        """Stop it as ``docker stop`` does."""
        self.client.containers.get(runtime_id).stop(timeout=1)

    def close(self) -> None:
        """Remove what was made."""
        for runtime_id in self.made:
            with suppress(NotFound):
                self.client.containers.get(runtime_id).remove(force=True)
        for runtime in self.runtimes:
            runtime.close()
        self.client.close()


@contextmanager
def docker_lab(host: str, image: str) -> Iterator[DockerLab]:
    """Run a lab on the Engine at ``host``."""
    lab = DockerLab(host, image)
    try:
        yield lab
    finally:
        lab.close()
