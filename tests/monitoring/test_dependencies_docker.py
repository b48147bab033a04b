"""A real parent with twenty real dependents, killed and started again, over a real Engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from incidents.models import OPEN_STATES, Incident, Notification
from incidents.services import resolve_green
from portal.monitoring import engine, services
from portal.monitoring.collector import sweep
from portal.monitoring.models import Alert
from portal.monitoring.runtimes.docker import DockerRuntime
from tests.conditions import wait_until
from tests.monitoring.labs import DockerLab, docker_lab

pytestmark = [pytest.mark.django_db, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

CHILDREN = 20
SECOND = 1_000_000_000
#: The parent crashes when it is told to.
LIFE = "while [ ! -e /shared/die ]; do touch /shared/alive; sleep 1; done; rm /shared/die; exit 3"
#: A dependent is healthy while its parent wrote the file within the last few seconds.
CHECK = "[ $(( $(date +%s) - $(stat -c %Y /shared/alive) )) -lt 5 ]"


class Fleet:
    """Containers of one Engine, swept as beat does."""

    def __init__(self, lab: DockerLab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.memory: dict[str, Any] = {}
        self.runtime = DockerRuntime(lab.host)
        lab.runtimes.append(self.runtime)
        mount = {str(folder): {"bind": "/shared", "mode": "rw"}}
        self.parent = lab.start(LIFE, volumes=mount)
        self.name = str(lab.client.containers.get(self.parent).name)
        for _child in range(CHILDREN):
            lab.client.containers.run(
                lab.image,
                ["sleep", "600"],
                name=f"{self.name}-child-{_child}",
                detach=True,
                volumes=mount,
                labels={"bonghwa.depends-on": self.name, "bonghwa.resolve-after": "5"},
                healthcheck={"test": ["CMD-SHELL", CHECK], "interval": 3 * SECOND, "retries": 3},
            )
            lab.made.append(f"{self.name}-child-{_child}")

    def sweep(self) -> None:
        """One sweep with its rules."""
        engine.evaluate(services.record(sweep(self.runtime, self.memory)))

    def suppressed(self) -> int:
        """Dependents whose open alerts are put down to the parent."""
        alerts = Alert.objects.filter(closed_at=None, suppressed_by__name=self.name)
        return alerts.values("service").distinct().count()

    def until(self, condition: Any, what: str) -> None:
        """Sweep until ``condition`` holds."""

        def swept() -> bool:
            self.sweep()
            return bool(condition())

        wait_until(swept, 120, what, every=1.0)


@pytest.fixture
def fleet(docker_host: str, busybox_image: str, tmp_path: Path) -> Iterator[Fleet]:
    """The fleet, healthy."""
    with docker_lab(docker_host, busybox_image) as lab:
        running = Fleet(lab, tmp_path)
        healthy: dict[str, str | list[str] | bool] = {"health": "healthy"}
        running.until(
            lambda: len(lab.client.containers.list(filters=healthy)) >= CHILDREN, "all dependents are healthy"
        )
        assert not Incident.objects.exists()
        yield running


def test_a_killed_parent_is_one_incident_that_resolves_when_all_are_green(fleet: Fleet) -> None:
    began = time.monotonic()
    (fleet.folder / "die").touch()
    fleet.until(lambda: Alert.objects.filter(rule__name="not-running").exists(), "the parent's alert opens")
    print(f"parent's incident after {time.monotonic() - began:.1f} s")  # noqa: T201 - the figure that is stated
    fleet.until(lambda: fleet.suppressed() == CHILDREN, "every dependent is put down to it")

    found = Incident.objects.get(state__in=OPEN_STATES)
    assert found.fingerprint == f"service:docker:{fleet.name}"
    assert Notification.objects.count() == 1
    assert len(found.services) == CHILDREN + 1

    fleet.lab.client.containers.get(fleet.parent).start()
    fleet.until(
        lambda: not Alert.objects.filter(service__name=fleet.name, closed_at=None).exists(), "it runs"
    )
    if Alert.objects.filter(closed_at=None).exists():
        assert Incident.objects.get(pk=found.pk).green_since is None
    fleet.until(lambda: not Alert.objects.filter(closed_at=None).exists(), "every dependent recovers")
    green = Incident.objects.get(pk=found.pk).green_since
    assert green is not None
    assert [one.pk for one in resolve_green(now=green.replace(year=green.year + 1))] == [found.pk]
    assert Incident.objects.count() == 1
