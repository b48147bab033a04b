"""A container that writes without end: one incident, one message, and reads that stay within their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from incidents.models import Incident, Notification
from portal.monitoring import engine, services
from portal.monitoring.collector import sweep
from portal.monitoring.models import LogTemplate, ServiceState
from portal.monitoring.runtimes.base import MAX_LOG_LINES
from tests.conditions import wait_until
from tests.monitoring.labs import DockerLab, docker_lab

pytestmark = [pytest.mark.django_db, pytest.mark.docker]
FLOOD = "while true; do echo WebSocket connection timeout, attempt $((n=n+1)) token=hunter2; done"


@pytest.fixture
def flooding(docker_host: str, busybox_image: str, settings) -> Any:
    """A lab with one container that floods."""
    settings.DOCKER_HOST = docker_host
    with docker_lab(docker_host, busybox_image) as lab:
        lab.start(FLOOD)
        yield lab


def test_a_flood_tells_once_and_is_read_within_its_bounds(flooding: DockerLab) -> None:
    memory: dict[str, Any] = {}
    most = 0

    def swept() -> list[Incident]:
        nonlocal most
        result = sweep(flooding.runtime(), memory)
        logs = result.readings[0].logs
        most = max(most, logs.lines if logs else 0)
        engine.evaluate(services.record(result))
        return list(Incident.objects.all())

    wait_until(swept, 30, "the flood opens an incident", every=0.5)
    for _sweep in range(4):
        swept()

    assert Incident.objects.count() == 1
    assert Notification.objects.count() == 1
    assert 500 <= most <= MAX_LOG_LINES
    state = ServiceState.objects.get()
    assert (state.log_lines_per_s or 0) > 100
    assert state.top_template.startswith("WebSocket connection timeout, attempt <n>")
    assert LogTemplate.objects.count() <= 20
    assert "hunter2" not in state.top_template
