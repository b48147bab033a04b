"""The Engine of the tests is a real one."""

from __future__ import annotations

import docker
import pytest


@pytest.mark.docker
def test_a_container_of_the_busybox_image_runs_its_command(
    docker_client: docker.DockerClient, busybox_image: str
) -> None:
    output = docker_client.containers.run(busybox_image, ["sh", "-c", "echo $((6*7))"], remove=True)

    assert output == b"42\n"
