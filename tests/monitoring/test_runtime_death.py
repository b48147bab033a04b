"""A runtime that dies, hangs and returns: its services become unknown, then known again; nothing crashes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import pytest
import redis

from incidents.models import Incident
from portal.monitoring import store, tasks
from portal.monitoring.models import Endpoint, LogTemplate, RunState, Service, ServiceEvent
from tests.conditions import wait_until
from tests.engine import launch, rootfs
from tests.monitoring.labs import DockerLab, ProcessLab, supervisord
from tests.monitoring.stage import firing
from tests.require import require
from tests.services import stop

pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.usefixtures("redis_client")]

LOGS = "while true; do echo 'connect to 10.0.0.7:443 failed, token=hunter2'; sleep 0.05; done"


def swept(runtime: str, state: RunState, timeout: float = 40.0) -> Service:
    """Sweep as beat does until the only service is seen in ``state``, whatever back-off there is."""

    def look() -> Service | None:
        tasks.collect(runtime)
        return Service.objects.filter(state__state=state).select_related("state").first()

    found = wait_until(look, timeout, f"{runtime} service is {state}", every=0.5)
    assert found is not None
    return found


class Engine:
    """A dockerd of our own that may be hung, stopped and started again.

    It is never killed: that would leave its containers running without a parent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, f"unix://{folder}/sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it on what it left."""
        self.process = launch(self.folder, self.host)

    def hang(self) -> None:
        """Let it accept connections and answer nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End its hanging."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and wait for that."""
        self.go_on()
        if self.process is not None:
            stop(self.process, timeout=20)


@pytest.fixture
def engine(settings) -> Iterator[Engine]:
    """A running Engine that the settings name."""
    require(os.geteuid() == 0 and shutil.which("dockerd"), "dockerd and root to start one")
    folder = Path(tempfile.mkdtemp(prefix="bw-"))
    own = Engine(folder)
    own.start()
    settings.DOCKER_HOST = own.host
    try:
        yield own
    finally:
        own.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def containers(engine: Engine) -> Iterator[DockerLab]:
    """A lab with one sick container, which comes back with its Engine."""
    client = docker.DockerClient(base_url=engine.host, timeout=30)
    busybox = shutil.which("busybox")
    require(busybox, "busybox (Debian package busybox-static)")
    client.api.import_image_from_data(rootfs(Path(str(busybox))), repository="bw", tag="latest")
    client.close()
    lab = DockerLab(engine.host, "bw:latest")
    labels = {"bonghwa.http": "http://127.0.0.1:9/", "bonghwa.resolve-after": "20"}
    lab.start(LOGS, check=False, restarts=True, labels=labels)
    try:
        yield lab
    finally:
        engine.go_on()
        lab.close()


@pytest.mark.docker
def test_a_container_is_measured_from_sweep_to_incident(containers: DockerLab) -> None:
    swept("docker", RunState.RUNNING)
    wait_until(lambda: tasks.collect("docker") or firing(), 20, "the streak fires", every=0.5)
    state = Service.objects.get().state

    assert firing() == {"health-streak"}
    assert (state.health, state.failing_streak >= 3) == ("unhealthy", True)
    assert state.health_output.strip() == "token=[secret] refused"
    assert state.cpu_percent is not None
    assert state.memory_bytes
    assert state.log_lines_per_s
    assert 5 < state.log_lines_per_s < 40
    assert state.top_template == "connect to <addr> failed, token=[secret]"
    assert state.top_template_share == 1.0
    assert not LogTemplate.objects.filter(sample__contains="hunter2").exists()
    assert Service.objects.get().resolve_after_s == 20
    assert Endpoint.objects.get().url == "http://127.0.0.1:9/"
    assert Incident.objects.get().resolve_after_s == 20


@pytest.mark.docker
def test_services_of_a_dead_engine_are_unknown_until_it_returns(
    engine: Engine, containers: DockerLab, caplog: pytest.LogCaptureFixture
) -> None:
    before = swept("docker", RunState.RUNNING).state.at
    engine.stop()
    for _sweep in range(5):
        tasks.collect("docker")

    state = Service.objects.get().state
    assert (state.state, state.at) == (RunState.UNKNOWN, before), "its age keeps counting"
    assert state.error.startswith("Docker Engine does not answer (list): ")
    assert store.costs()[0].error == state.error
    assert caplog.text.count("Docker Engine does not answer") == 1, "a dead Engine is logged once"
    engine.start()
    after = swept("docker", RunState.RUNNING).state
    assert after.at > before
    assert after.error == ""
    assert "Docker answers again" in caplog.text
    (began,) = ServiceEvent.objects.filter(action="start", at__gt=before)
    assert began.runtime_id == containers.made[0]


@pytest.mark.docker
def test_a_hung_engine_costs_a_sweep_its_time_limit_and_no_more(
    engine: Engine, containers: DockerLab
) -> None:
    swept("docker", RunState.RUNNING)
    crashed = containers.start("sleep 2; exit 9")
    engine.hang()
    began = time.monotonic()
    tasks.collect("docker")
    took = time.monotonic() - began

    assert took < 15
    assert Service.objects.get().state.state == RunState.UNKNOWN
    engine.go_on()
    swept("docker", RunState.RUNNING)

    def told() -> list[int | None]:
        tasks.collect("docker")
        ends = ServiceEvent.objects.filter(action="die", runtime_id=crashed)
        return list(ends.values_list("exit_code", flat=True))

    wait_until(told, 20, "the end while nobody answered is told", every=0.5)
    assert told() == [9]


@pytest.fixture
def folder(settings) -> Iterator[Path]:
    """A data folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bw-") as name:
        settings.DATA_DIR = Path(name)
        yield Path(name)


def test_processes_of_a_killed_supervisord_are_unknown_until_it_returns(folder: Path) -> None:
    with supervisord(folder) as process:
        ProcessLab(folder).start(LOGS)
        state = swept("process", RunState.RUNNING).state
        assert state.memory_bytes
        left = [int(line) for line in children(process.pid)]
        process.kill()
        process.wait()
        for pid in left:
            os.killpg(pid, signal.SIGKILL)
        tasks.collect("process")

    assert Service.objects.get().state.state == RunState.UNKNOWN
    assert "supervisor does not answer" in Service.objects.get().state.error
    with supervisord(folder):
        swept("process", RunState.RUNNING)


def test_starting_everything_anew_is_no_restart_of_a_process(folder: Path) -> None:
    lab, memory = ProcessLab(folder), dict[str, Any]()
    with supervisord(folder):
        name = lab.start(LOGS, restarts=True)
        first = lab.runtime(memory).inspect(name)
    assert first.started_at is not None
    # supervisord tells whole seconds.
    later = first.started_at + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) >= later, what="another second")
    with supervisord(folder):
        wait_until(lambda: lab.runtime().inspect(name).state is RunState.RUNNING, what="it runs")
        second = lab.runtime(memory).inspect(name)

    assert first.started_at != second.started_at
    assert second.restart_count == 0


def children(pid: int) -> list[str]:
    """Pids of a process's children."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_sweep_while_redis_is_away_fails_and_the_next_one_works(
    settings, redis_client: redis.Redis
) -> None:
    settings.DOCKER_HOST = "unix:///nowhere/sock"
    address = settings.REDIS_URL
    store.client.cache_clear()
    try:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        with pytest.raises(redis.ConnectionError):
            tasks.collect("docker")
    finally:
        settings.REDIS_URL = address
        store.client.cache_clear()
    tasks.collect("docker")
    assert store.costs()[0].error.startswith("Docker Engine does not answer")
