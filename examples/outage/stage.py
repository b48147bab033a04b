"""Where the outage is played: as a container of the Docker Engine, or as a process of ours without one."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from xmlrpc.client import Fault, ServerProxy

import docker
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.types import LogConfig
from supervisor.xmlrpc import SupervisorTransport

from examples.outage import image
from examples.outage.proxy import Proxy

SERVICE = "api-gateway"
MARK = "bonghwa.example"
RESOLVE_AFTER_S = 20
SECOND_NS = 1_000_000_000
HERE = Path(__file__).resolve().parent


class StageError(RuntimeError):
    """The outage cannot be played here; the message says what to do."""


class Stage(Protocol):
    """A place to play. ``stop`` is an orderly stop, ``clear`` leaves nothing behind and may be repeated."""

    runtime: str

    def start(self) -> float:
        """Start the faulty service and return the unix time of its start."""

    def repair_upstream(self) -> None:
        """Let the upstream answer again; the running program, which knows only the old address, burns on."""

    def rebuild(self) -> None:
        """Put the repaired program in its place: without the faulty client, and limited where possible."""

    def stop(self) -> None:
        """Stop it as an operator would."""

    def clear(self) -> None:
        """Remove everything that ``start`` made."""


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def labels(port: int, proxy: Proxy) -> dict[str, str]:
    """Return the labels by which the portal watches the service, probes it and may act on it."""
    return {
        MARK: "outage",
        "bonghwa.resolve-after": str(RESOLVE_AFTER_S),
        "bonghwa.http": f"http://127.0.0.1:{port}/health",
        "bonghwa.ws": f"ws://{proxy.address}/ws",
        "bonghwa.actions": "restart,stop,start",
    }


class ContainerStage:
    """One container without any limit, as the seed's had none; the program itself is bounded."""

    runtime = "docker"

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._image_id = ""
        self._port = 0
        self._proxy: Proxy | None = None

    def start(self) -> float:
        """Import the image and start the container.

        Raises:
            StageError: a container of that name exists and is not ours, or the Engine does not start it.
        """
        try:
            return self._start()
        except (DockerException, OSError) as error:
            raise StageError(f"the Docker Engine does not start it: {str(error)[:400]}") from error

    def _start(self) -> float:
        self._remove_container()
        self._image_id = image.build(self._client)
        self._port = free_port()
        self._proxy = Proxy(self._port)
        container = self._create(labels(self._port, self._proxy), {})
        started = time.time()
        container.start()
        return started

    def _create(self, given: dict[str, str], environment: dict[str, str], **more: Any) -> Any:
        return self._client.containers.create(
            image.IMAGE,
            name=SERVICE,
            environment={"OUTAGE_HOST": "0.0.0.0", **environment},  # noqa: S104 - inside the container; published on loopback
            ports={"5111/tcp": ("127.0.0.1", self._port)},
            cap_drop=["ALL"],
            labels=given,
            healthcheck={
                "test": ["CMD", "/usr/bin/python3", "-S", "/app/health.py"],
                "interval": 2 * SECOND_NS,
                "timeout": 1 * SECOND_NS,
                "retries": 3,
            },
            **more,
        )

    def repair_upstream(self) -> None:
        """Write the new address into the container; a restart keeps its files."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("upstream"))
        self._client.containers.get(SERVICE).put_archive("/app", archive.getvalue())

    def rebuild(self) -> None:
        """``docker stop``, ``rm`` and ``run`` with limits, log rotation and the repaired program."""
        self.stop()
        given = {MARK: "outage", **self._client.containers.get(SERVICE).labels}
        self._remove_container()
        container = self._create(
            given,
            {"OUTAGE_CLIENT": "none"},
            nano_cpus=1_000_000_000,
            mem_limit="256m",
            log_config=LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
        )
        container.start()

    def stop(self) -> None:
        """``docker stop``."""
        self._client.containers.get(SERVICE).stop(timeout=5)

    def clear(self) -> None:
        """Remove the container and the image, and close the proxy."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None
        self._remove_container()
        if self._image_id:
            with suppress(ImageNotFound):
                self._client.images.remove(self._image_id, force=True)
            self._image_id = ""

    def _remove_container(self) -> None:
        try:
            container = self._client.containers.get(SERVICE)
        except NotFound:
            return
        if container.labels.get(MARK) != "outage":
            raise StageError(f"a container named {SERVICE} exists and is not this demonstration's; rename it")
        container.remove(force=True)


class ProcessStage:
    """A program added to the running supervisor, and taken out again."""

    runtime = "process"

    def __init__(self, data_dir: Path) -> None:
        self._conf = data_dir / "processes" / f"{SERVICE}.conf"
        self._descriptor = self._conf.with_suffix(".json")
        self._upstream = self._conf.with_suffix(".upstream")
        self._log = data_dir / "logs" / f"{SERVICE}.log"
        self._port = 0
        self._proxy: Proxy | None = None
        socket_path = data_dir / "supervisor.sock"
        transport = SupervisorTransport(None, None, f"unix://{socket_path}")
        self._supervisor: Any = ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def start(self) -> float:
        """Write the program and its descriptor, and let the supervisor start it.

        Raises:
            StageError: no supervisor answers, or it refuses the program.
        """
        self.clear()
        self._port = free_port()
        self._proxy = Proxy(self._port)
        self._conf.parent.mkdir(parents=True, exist_ok=True)
        self._write("")
        descriptor = {
            "name": SERVICE,
            "log": str(self._log),
            "health": {"kind": "http", "url": f"http://127.0.0.1:{self._port}/health"},
            "labels": labels(self._port, self._proxy),
        }
        self._descriptor.write_text(json.dumps(descriptor))
        started = time.time()
        try:
            self._supervisor.reloadConfig()
            self._supervisor.addProcessGroup(SERVICE)
        except (OSError, Fault) as error:
            self._forget_files()
            raise StageError(f"the supervisor of `make run` does not take the program: {error}") from error
        return started

    def _write(self, environment: str) -> None:
        self._conf.write_text(
            f"[program:{SERVICE}]\n"
            f"command={sys.executable} {HERE / 'gateway.py'}\n"
            f'environment=OUTAGE_PORT="{self._port}",OUTAGE_UPSTREAM_FILE="{self._upstream}",'
            f'PYTHONUNBUFFERED="1"{environment}\n'
            "autorestart=false\nstartsecs=0\nstopwaitsecs=5\n"
            f"redirect_stderr=true\nstdout_logfile={self._log}\n"
            "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=3\n"
        )

    def repair_upstream(self) -> None:
        """Write the file that stands for the new address."""
        self._upstream.touch()

    def rebuild(self) -> None:
        """Let the supervisor run the repaired program; a process has no limits."""
        self._write(',OUTAGE_CLIENT="none"')
        self.stop()
        self._supervisor.reloadConfig()
        self._supervisor.removeProcessGroup(SERVICE)
        self._supervisor.addProcessGroup(SERVICE)

    def stop(self) -> None:
        """Ask the supervisor to stop the program."""
        self._supervisor.stopProcess(SERVICE)

    def clear(self) -> None:
        """Stop the program if it runs, take it out of the supervisor, delete its files, close the proxy."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None
        with suppress(OSError, Fault):
            self._supervisor.stopProcess(SERVICE)
        self._forget_files()
        with suppress(OSError, Fault):
            self._supervisor.reloadConfig()
            self._supervisor.removeProcessGroup(SERVICE)

    def _forget_files(self) -> None:
        self._conf.unlink(missing_ok=True)
        self._descriptor.unlink(missing_ok=True)
        self._upstream.unlink(missing_ok=True)
        for old in self._log.parent.glob(f"{SERVICE}.log*"):
            old.unlink(missing_ok=True)


def choose(docker_host: str, data_dir: Path) -> Stage:
    """Return the container stage when the portal's Docker Engine answers, the process stage otherwise."""
    host = docker_host or os.environ.get("DOCKER_HOST", "") or "unix:///var/run/docker.sock"
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).is_socket():
        return ProcessStage(data_dir)
    try:
        client = docker.DockerClient(base_url=host, timeout=60)
        client.ping()
    except (DockerException, OSError):
        return ProcessStage(data_dir)
    return ContainerStage(client)
