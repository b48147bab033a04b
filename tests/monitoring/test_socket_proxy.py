"""The deploy files that stand between Bonghwa and a Docker Engine: a real nginx before a real Engine."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portal.monitoring import tasks
from portal.monitoring.models import RunState, Service, ServiceEvent
from portal.monitoring.runtimes.base import RuntimeProblem
from portal.monitoring.runtimes.docker import DockerRuntime
from tests.conditions import wait_until
from tests.monitoring.labs import DockerLab, docker_lab
from tests.require import require
from tests.servers import serving
from tests.services import free_port

pytestmark = [pytest.mark.docker, pytest.mark.nginx]

FOLDER = Path(__file__).resolve().parent.parent.parent / "deploy" / "nginx"
IDLE = "while true; do echo tick; sleep 1; done"


@dataclass(frozen=True)
class Proxied:
    """An Engine behind both proxies, with one running container."""

    lab: DockerLab
    container: str
    read: int
    ops: int


def snippet(name: str, port: int, docker_host: str) -> str:
    """One of the deploy files for this Engine and port."""
    text = (FOLDER / name).read_text()
    text = text.replace("/var/run/docker.sock", docker_host.removeprefix("unix://"))
    return text.replace("listen 127.0.0.1:2375;", f"listen 127.0.0.1:{port};").replace(
        "listen 127.0.0.1:2376;", f"listen 127.0.0.1:{port};"
    )


@pytest.fixture(scope="module")
def proxied(docker_host: str, busybox_image: str) -> Iterator[Proxied]:
    """Both proxies in one nginx before the Engine."""
    require(docker_host.startswith("unix://"), "an Engine on a Unix socket")
    if os.geteuid() == 0:  # nginx's workers are nobody's
        socket = Path(docker_host.removeprefix("unix://"))
        socket.chmod(0o666)
        socket.parent.chmod(0o755)
    read, ops = free_port(), free_port()
    both = snippet("docker-read.conf", read, docker_host) + snippet("docker-ops.conf", ops, docker_host)
    with docker_lab(docker_host, busybox_image) as lab, serving(both, read):
        yield Proxied(lab, lab.start(IDLE, check=True), read, ops)


def ask(port: int, method: str, line: str, **headers: str) -> int:
    """Send a request line exactly as written; returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.putrequest(method, line, skip_accept_encoding=True)
        for name, value in ({"Content-Length": "0"} if method == "POST" else {}).items() | headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


ALLOWED = [
    "/_ping", "/version", "/info", "/v1.41/info", "/containers/json?all=1", "/v1.40/containers/json",
    "/events?since=1&until=2", "/containers/{id}/json", "/v1.41/containers/{id}/json",
    "/containers/{id}/stats?stream=0&one-shot=1", "/containers/{id}/logs?stdout=1&tail=1",
]  # fmt: skip
FORBIDDEN = [
    ("GET", "/containers/{id}/archive?path=/etc/shadow"),
    ("HEAD", "/containers/{id}/archive?path=/etc/shadow"),
    ("PUT", "/containers/{id}/archive?path=/"),
    ("GET", "/containers/{id}/export"),
    ("GET", "/v1.41/containers/{id}/export"),
    ("GET", "/containers/{id}/attach/ws?stream=1"),
    ("POST", "/containers/{id}/attach?stream=1"),
    ("POST", "/containers/{id}/exec"),
    ("POST", "/exec/x/start"),
    ("GET", "/exec/x/json"),
    ("GET", "/containers/{id}/top"),
    ("GET", "/containers/{id}/changes"),
    ("POST", "/containers/create"),
    ("POST", "/containers/{id}/kill"),
    ("POST", "/containers/{id}/update"),
    ("POST", "/containers/{id}/json"),
    ("DELETE", "/containers/{id}"),
    ("POST", "/containers/prune"),
    ("GET", "/images/json"),
    ("GET", "/images/x/get"),
    ("POST", "/build"),
    ("GET", "/volumes"),
    ("GET", "/secrets"),
    ("GET", "/system/df"),
    ("POST", "/session"),
    ("POST", "/grpc"),
    ("GET", "/"),
    ("GET", "//info"),
    ("GET", "/containers//{id}/json"),
    ("GET", "/./info"),
    ("GET", "/containers/../info"),
    ("GET", "/containers/{id}/json/../archive?path=/etc"),
    ("GET", "/containers/{id}/logs/%2e%2e/archive?path=/etc"),
    ("GET", "/containers/{id}%2farchive?path=/etc&/json"),
    ("GET", "/containers/{id}%2Farchive%3Fpath=%2Fetc%23/json"),
    ("GET", "/containers/{id}/archive%3f/json"),
    ("GET", "/%63ontainers/json"),
    ("GET", "/containers/json;x=1"),
    ("GET", "/containers/{id}/json/"),
    ("GET", "/v1.41/v1.41/info"),
    ("GET", "/v2/info"),
    ("GET", "/v1.41/../containers/json"),
    ("GET", "/containers/.hidden/json"),
    ("OPTIONS", "/info"),
]
#: What nginx itself takes for no request that it could pass on.
NO_REQUEST = [("TRACE", "/info", 405), ("get", "/info", 400), ("GET", "/containers/json%00", 400)]
#: What only the ops worker may do.
ACTIONS = [
    *("/containers/{id}/restart?t=0", "/v1.41/containers/{id}/restart?t=0", "/containers/{id}/stop?t=0"),
    "/v1.41/containers/{id}/start",
]
TRICKS = [
    "/containers/{id}/start?detachKeys=x",
    "/containers/{id}/start/",
    "/containers/{id}/stop?signal=KILL",
    "/containers/{id}/restart?t=0&signal=9",
    "/containers/{id}%2fstop",
]


@pytest.mark.parametrize("line", ALLOWED)
def test_what_the_collector_needs_is_answered(proxied: Proxied, line: str) -> None:
    told = line.format(id=proxied.container)
    assert (ask(proxied.read, "GET", told), ask(proxied.ops, "GET", told)) == (200, 200)


@pytest.mark.parametrize(("method", "line"), FORBIDDEN)
def test_everything_else_is_refused_by_both(proxied: Proxied, method: str, line: str) -> None:
    told = line.format(id=proxied.container)
    assert (ask(proxied.read, method, told), ask(proxied.ops, method, told)) == (403, 403)


@pytest.mark.parametrize(("method", "line", "status"), NO_REQUEST)
def test_what_is_no_request_does_not_reach_the_engine(
    proxied: Proxied, method: str, line: str, status: int
) -> None:
    assert (ask(proxied.read, method, line), ask(proxied.ops, method, line)) == (status, status)


@pytest.mark.parametrize("line", [*ACTIONS, *TRICKS])
def test_the_collectors_proxy_refuses_to_act(proxied: Proxied, line: str) -> None:
    assert ask(proxied.read, "POST", line.format(id=proxied.container)) == 403


def test_an_upgrade_is_refused(proxied: Proxied) -> None:
    line = f"/containers/{proxied.container}/logs?stdout=1&follow=1"
    for port in (proxied.read, proxied.ops):
        assert ask(port, "GET", line, Upgrade="tcp", Connection="Upgrade") == 403


@pytest.mark.django_db
def test_the_whole_collector_works_through_it(proxied: Proxied, settings, redis_client) -> None:
    settings.DOCKER_HOST = f"tcp://127.0.0.1:{proxied.read}"
    tasks.collect("docker")
    busy = proxied.lab.start(IDLE)
    proxied.lab.stop(busy)

    def measured() -> bool:
        tasks.collect("docker")
        state = Service.objects.get(runtime_id=proxied.container).state
        return None not in (state.cpu_percent, state.log_lines_per_s) and state.health == "healthy"

    wait_until(measured, 30, "CPU, log rate and health are measured", every=0.5)
    state = Service.objects.get(runtime_id=proxied.container).state
    assert (state.error, bool(state.memory_bytes), bool(state.pids)) == ("", True, True)
    over = Service.objects.get(runtime_id=busy).state
    assert (over.state, over.stopped_on_purpose) == (RunState.EXITED, True)
    assert {"start", "die"} <= set(
        ServiceEvent.objects.filter(runtime_id=busy).values_list("action", flat=True)
    )


def test_a_raw_socket_is_told_from_a_guarded_one(proxied: Proxied, docker_host: str) -> None:
    hosts = {docker_host: False, f"tcp://127.0.0.1:{proxied.read}": True, "tcp://127.0.0.1:9": None}
    for host, expected in hosts.items():
        runtime = DockerRuntime(host)
        try:
            assert runtime.is_guarded() is expected, host
        finally:
            runtime.close()


def test_the_ops_worker_restarts_stops_and_starts_and_the_collect_worker_cannot(proxied: Proxied) -> None:
    target = proxied.lab.start("exit 0")
    reader, ops = (DockerRuntime(f"tcp://127.0.0.1:{port}") for port in (proxied.read, proxied.ops))
    try:
        with pytest.raises(RuntimeProblem, match="refused by the socket proxy"):
            reader.restart(target)
        before = proxied.lab.client.containers.get(target).attrs["State"]["StartedAt"]
        ops.restart(target)
        assert proxied.lab.client.containers.get(target).attrs["State"]["StartedAt"] != before
        assert ask(proxied.ops, "POST", f"/containers/{target}/stop?t=0") in (204, 304)
        before = proxied.lab.client.containers.get(target).attrs["State"]["StartedAt"]
        with pytest.raises(RuntimeProblem, match="refused by the socket proxy"):
            reader.start(target)
        ops.start(target)
        assert proxied.lab.client.containers.get(target).attrs["State"]["StartedAt"] != before
        ops.stop(target)
        for line in TRICKS:
            assert ask(proxied.ops, "POST", line.format(id=target)) == 403
    finally:
        reader.close()
        ops.close()
