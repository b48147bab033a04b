"""The example outage burns as described, and is harmless."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import docker
import httpx
import psutil
import pytest

from examples.outage import stage
from tests.conditions import wait_until


@pytest.fixture
def gateway() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The faulty program as a process: two healthy seconds, three of outage, 20 MiB at most."""
    port = stage.free_port()
    limits = {"OUTAGE_HEALTHY_SECONDS": "2", "OUTAGE_SECONDS": "5", "OUTAGE_MEMORY_MIB": "20"}
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(stage.HERE / "gateway.py")],
        env={**os.environ, **limits, "OUTAGE_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process, f"http://127.0.0.1:{port}/health"
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_answers_then_starves_its_health_check_then_ends_by_itself(
    gateway: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = gateway
    measured = psutil.Process(process.pid)
    before = measured.memory_info().rss

    assert httpx.get(url, timeout=2).status_code == 200
    assert process.stdout is not None
    first = process.stdout.readline()
    with pytest.raises(httpx.TimeoutException):
        httpx.get(url, timeout=1)
    grown = measured.memory_info().rss - before
    cpu = measured.cpu_percent(interval=0.5)
    lines = [first, *process.stdout.read().splitlines(keepends=True)]

    assert process.wait(10) == 0
    assert cpu > 25, "a loop that never sleeps, even where other work shares the core"
    assert 10 * 2**20 < grown < 60 * 2**20
    assert lines[:6] == ["ERROR WebSocket connection timeout\n"] * 5 + [
        "ERROR Reconnection failed after 5 attempts\n"
    ]
    assert 200 < len(lines) < 3 * 1000


def test_a_stop_ends_it_at_once_in_the_middle_of_the_loop(gateway: tuple[subprocess.Popen[str], str]) -> None:
    process, _ = gateway
    assert process.stdout is not None
    process.stdout.readline()

    process.terminate()

    assert process.wait(2) == 143


@pytest.mark.docker
def test_the_container_turns_unhealthy_and_leaves_nothing_behind(docker_client: docker.DockerClient) -> None:
    place = stage.ContainerStage(docker_client)
    try:
        place.start()
        container = docker_client.containers.get(stage.SERVICE)

        def health() -> str:
            container.reload()
            return str(container.attrs["State"]["Health"]["Status"])

        wait_until(lambda: health() == "healthy", 15, "healthy before its upstream dies")
        wait_until(lambda: health() == "unhealthy", 30, "unhealthy after it")
        place.stop()
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 143
    finally:
        place.clear()

    assert docker_client.containers.list(all=True, filters={"name": stage.SERVICE}) == []
    assert docker_client.images.list(name="bonghwa-example-outage") == []


@pytest.mark.docker
def test_another_container_of_the_same_name_is_left_alone(
    docker_client: docker.DockerClient, busybox_image: str
) -> None:
    other = docker_client.containers.create(busybox_image, name=stage.SERVICE)
    place = stage.ContainerStage(docker_client)
    try:
        with pytest.raises(stage.StageError, match="not this demonstration's"):
            place.start()
        other.reload()
    finally:
        other.remove(force=True)


def test_an_engine_that_does_not_start_it_is_told_in_one_line() -> None:
    client = docker.DockerClient(base_url="tcp://127.0.0.1:1", version="1.41")

    with pytest.raises(stage.StageError, match=r"^the Docker Engine does not start it: .+$"):
        stage.ContainerStage(client).start()
    client.close()
