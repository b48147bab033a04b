"""A real Docker Engine for the tests: the machine's own when it answers, else one started for the run.

The started Engine keeps everything in one temporary folder, writes no firewall rule (published ports go
through Docker's userland proxy, reached on loopback) and is stopped by pid.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import psutil
import pytest
from docker.errors import DockerException

from tests.claims import claimed
from tests.require import require
from tests.services import stop

START_TIMEOUT = 30.0
STORAGE_DRIVERS: tuple[tuple[str, ...], ...] = ((), ("--storage-driver", "vfs"))


class EngineFailed(RuntimeError):
    """No Docker Engine could be started; the message ends with the last lines of its log."""


def answers(host: str) -> bool:
    """Whether a Docker Engine answers at ``host`` within two seconds.

    A Unix socket is tried first: docker-py leaves its socket open when connecting fails.
    """
    if host.startswith("unix://") and not _listens(host.removeprefix("unix://")):
        return False
    try:
        client = docker.DockerClient(base_url=host, timeout=2)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        return probe.connect_ex(path) == 0


@contextmanager
def bridge() -> Iterator[Sequence[str]]:
    """Make a network bridge of our own and yield dockerd's arguments for it; ``none`` where it cannot be."""
    in_use = {one.address for all_of in psutil.net_if_addrs().values() for one in all_of}
    unused = (third for third in range(1, 251) if f"172.31.{third}.1" not in in_use)
    with claimed("bridge", unused) as third:
        name = f"bwtest{third}"
        made = run_quietly("ip", "link", "add", "name", name, "type", "bridge") and run_quietly(
            "ip", "addr", "add", f"172.31.{third}.1/24", "dev", name
        )
        try:
            yield ("--bridge", name if made else "none")
        finally:
            run_quietly("ip", "link", "delete", name)


def run_quietly(*command: str) -> bool:
    """Run a short command; return whether it exists and succeeded."""
    with suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603 - fixed programs of this module
    return False


@contextmanager
def own_engine() -> Iterator[str]:
    """Start a private Docker Engine and yield its address.

    Raises:
        EngineFailed: it does not come up with any storage driver.
    """
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    host = f"unix://{folder}/sock"
    try:
        with bridge() as network:
            process = launch(folder, host, network)
            try:
                yield host
            finally:
                _remove_containers(host)
                stop(process, timeout=20)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def launch(folder: Path, host: str, network: Sequence[str] = ("--bridge", "none")) -> subprocess.Popen[bytes]:
    """Start dockerd on ``folder``, new or left by an earlier one, and return once it answers at ``host``."""
    log, config = folder / "dockerd.log", folder / "daemon.json"
    config.write_text("{}")
    for driver in STORAGE_DRIVERS:
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - a fixed program with our own arguments
                [
                    shutil.which("dockerd") or "dockerd",
                    *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                    *("--pidfile", str(folder / "pid"), "--host", host, "--config-file", str(config)),
                    *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
                    *("--shutdown-timeout", "5", *network, *driver),
                ],
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            if answers(host):
                return process
            time.sleep(0.1)
        stop(process)
    raise EngineFailed("dockerd did not start: " + log.read_text()[-2000:])


def _remove_containers(host: str) -> None:
    client = docker.DockerClient(base_url=host, timeout=20)
    with suppress(DockerException):
        for container in client.containers.list(all=True):
            container.remove(force=True)
    client.close()


def machines_engine() -> str | None:
    """Return the address of the machine's own Docker Engine, or None when none answers."""
    hosts = filter(None, (os.environ.get("DOCKER_HOST"), "unix:///var/run/docker.sock"))
    return next((host for host in hosts if answers(host)), None)


@pytest.fixture(scope="session")
def docker_host() -> Iterator[str]:
    """Address of a Docker Engine that answers."""
    if found := machines_engine():
        yield found
        return
    require(
        os.geteuid() == 0 and shutil.which("dockerd"), "a Docker Engine (or dockerd and root to start one)"
    )
    with own_engine() as host:
        yield host


@pytest.fixture
def docker_client(docker_host: str) -> Iterator[docker.DockerClient]:
    """A client of the Engine; the test removes its own containers."""
    client = docker.DockerClient(base_url=docker_host, timeout=30)
    yield client
    client.close()


@pytest.fixture(scope="session")
def busybox_image(docker_host: str) -> str:
    """Tag of a small image with a shell, made from the machine's static BusyBox: nothing is pulled."""
    busybox = shutil.which("busybox")
    require(busybox, "busybox (Debian package busybox-static)")
    assert busybox is not None
    client = docker.DockerClient(base_url=docker_host, timeout=30)
    try:
        client.api.import_image_from_data(
            rootfs(Path(busybox)), repository="bonghwa-test-busybox", tag="latest", changes=['CMD ["sh"]']
        )
    finally:
        client.close()
    return "bonghwa-test-busybox:latest"


def rootfs(busybox: Path) -> bytes:
    """Return a tar archive of a root folder in which every command is ``busybox``."""
    names = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout  # noqa: S603 - the path found above
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in ("bin", "tmp", "proc", "sys", "dev", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        archive.add(busybox.resolve(), "bin/busybox")
        for name in names.split():
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(link)
    return buffer.getvalue()


__all__ = ["busybox_image", "docker_client", "docker_host", "own_engine"]
