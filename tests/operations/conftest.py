"""A lab on the Docker Engine, and the service rows of its containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone

from portal.monitoring.models import RunState, RuntimeKind, Service, ServiceState
from tests.monitoring.labs import DockerLab, docker_lab


@pytest.fixture
def containers(docker_host: str, busybox_image: str, settings) -> Iterator[DockerLab]:
    """Containers of the Engine that the settings name."""
    settings.DOCKER_HOST = docker_host
    with docker_lab(docker_host, busybox_image) as lab:
        yield lab


def known(runtime_id: str, name: str = "api-gateway", **state: object) -> Service:
    """Create the row of a container as a sweep would."""
    service = Service.objects.create(
        runtime=RuntimeKind.DOCKER, name=name, runtime_id=runtime_id, discovered_at=timezone.now()
    )
    given = {"at": timezone.now(), "state": RunState.RUNNING} | state
    ServiceState.objects.create(service=service, **given)
    return service
