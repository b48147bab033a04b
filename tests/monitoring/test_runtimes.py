"""What every runtime promises, on a real supervisord and on a real Docker Engine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.monitoring.logs import summarise
from portal.monitoring.models import Health, RunState, RuntimeKind
from portal.monitoring.runtimes import process
from portal.monitoring.runtimes.base import (
    Runtime,
    RuntimeProblem,
    RuntimeRefused,
    RuntimeUnavailable,
    ServiceMissing,
    Usage,
    cpu_percent,
)
from portal.monitoring.runtimes.docker import DockerRuntime
from portal.monitoring.runtimes.process import ProcessRuntime
from tests.conditions import wait_until
from tests.monitoring.labs import Lab, docker_lab, process_lab

IDLE = "while true; do sleep 1; done"
BUSY = "while true; do :; done"
MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A place to run services."""
    if request.param == "process":
        with process_lab() as processes:
            yield processes
        return
    host, image = request.getfixturevalue("docker_host"), request.getfixturevalue("busybox_image")
    with docker_lab(host, image) as containers:
        yield containers


@pytest.fixture(autouse=True)
def no_start_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process's check count from its start."""
    monkeypatch.setattr(process, "START_PERIOD_S", 0.0)


def test_it_lists_running_and_ended_services_with_their_labels(lab: Lab) -> None:
    running = lab.start(IDLE, labels={"bonghwa.resolve-after": "20"})
    over = lab.start("exit 0")
    runtime = lab.runtime()

    wait_until(lambda: runtime.inspect(over).state is RunState.EXITED)
    listed = {one.runtime_id: one for one in runtime.list()}
    assert listed[over].state is RunState.EXITED
    assert listed[running].state is RunState.RUNNING
    assert listed[running].labels["bonghwa.resolve-after"] == "20"


@pytest.mark.parametrize("word", ["false", "False", "0", "no", "off"])
def test_a_service_that_opts_out_is_not_listed(lab: Lab, word: str) -> None:
    private, shown = lab.start("exit 0", labels={"bonghwa.monitor": word}), lab.start("exit 0")
    listed = {one.runtime_id for one in lab.runtime().list()}
    assert shown in listed
    assert private not in listed


def usages(runtime: Runtime, runtime_id: str, cpu_s: float) -> tuple[Usage, Usage]:
    """Two samples between which the service used ``cpu_s`` seconds of CPU."""
    first = runtime.sample(runtime_id)
    second = wait_until(
        lambda: (now := runtime.sample(runtime_id)).cpu_s >= first.cpu_s + cpu_s and now,
        what=f"{cpu_s} s of CPU used",
    )
    assert isinstance(second, Usage)
    return first, second


def test_cpu_of_a_hot_loop_shows_and_of_an_idle_service_does_not(lab: Lab) -> None:
    busy, idle, runtime = lab.start(BUSY), lab.start(IDLE), lab.runtime()
    still = runtime.sample(idle)
    hot = cpu_percent(*usages(runtime, busy, 0.5))
    cold = cpu_percent(still, runtime.sample(idle))
    lab.stop(busy)

    assert hot is not None
    assert 15 < hot < 150
    assert cold is not None
    assert cold < 15


def test_memory_is_what_the_service_holds(lab: Lab) -> None:
    hold = "x=$(head -c 40000000 /dev/zero | tr '\\000' a); "
    big, small, runtime = lab.start(hold + IDLE), lab.start(IDLE), lab.runtime()

    wait_until(lambda: runtime.sample(big).memory_bytes > 38 * MIB, 30, "40 MB are held")
    assert runtime.sample(big).memory_bytes < 300 * MIB
    assert runtime.sample(small).memory_bytes < 10 * MIB


def test_a_failing_check_has_a_growing_streak_its_last_output_and_turns_unhealthy(lab: Lab) -> None:
    sick, runtime = lab.start(IDLE, check=False), lab.runtime()
    first = wait_until(lambda: (seen := runtime.health(sick)).failing_streak >= 1 and seen)
    last = wait_until(lambda: (seen := runtime.health(sick)).failing_streak >= 3 and seen)

    assert first
    assert last
    assert last.failing_streak > first.failing_streak
    assert last.status is Health.UNHEALTHY
    assert last.interval_s in (1.0, process.CHECK_INTERVAL_S)
    assert last.output.strip() in ("token=hunter2 refused", "no heartbeat")
    assert last.log[-1].exit_code == 1


def test_a_passing_check_is_healthy_without_a_streak_and_no_check_is_said_to_be_none(lab: Lab) -> None:
    well, plain, runtime = lab.start(IDLE, check=True), lab.start(IDLE), lab.runtime()
    seen = wait_until(lambda: (now := runtime.health(well)).status is Health.HEALTHY and now)

    assert seen
    assert seen.failing_streak == 0
    assert runtime.health(plain).status is Health.NONE
    assert runtime.inspect(well).config["health_check"]["defined"]
    assert not runtime.inspect(plain).config["health_check"]["defined"]


def test_a_process_that_failed_after_its_start_is_not_starting_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it looked to a clock that was ahead for a while and was set back into the start period."""
    with process_lab() as lab:
        sick, runtime = lab.start(IDLE, check=False), lab.runtime({})
        before = wait_until(lambda: (seen := runtime.health(sick)).failing_streak >= 1 and seen)
        monkeypatch.setattr(process, "START_PERIOD_S", 3600.0)
        new = lab.start(IDLE, check=False)
        after = runtime.health(sick)

        assert before
        assert (after.status, after.failing_streak) == (Health.HEALTHY, before.failing_streak + 1)
        assert wait_until(lambda: runtime.health(new).status is Health.STARTING)


def test_restarts_are_counted(lab: Lab) -> None:
    unstable, runtime = lab.start("sleep 1; exit 3", restarts=True), lab.runtime({})
    assert runtime.inspect(unstable).restart_count <= 1
    assert wait_until(lambda: runtime.inspect(unstable).restart_count >= 2, 20, "two restarts", every=0.2)
    lab.stop(unstable)


@pytest.mark.parametrize(("code", "on_purpose"), [(0, True), (3, False)])
def test_an_end_is_on_purpose_only_with_exit_code_zero(lab: Lab, code: int, on_purpose: bool) -> None:
    over, runtime = lab.start(f"exit {code}"), lab.runtime()
    wait_until(lambda: runtime.inspect(over).state is RunState.EXITED)
    seen = runtime.inspect(over)

    assert (seen.exit_code, seen.stopped_on_purpose) == (code, on_purpose)
    assert seen.finished_at is not None
    assert seen.health.status is Health.NONE


def test_a_stop_by_a_person_is_on_purpose(lab: Lab) -> None:
    stopped, runtime = lab.start(IDLE), lab.runtime()
    lab.stop(stopped)
    seen = runtime.inspect(stopped)
    assert (seen.state, seen.stopped_on_purpose) == (RunState.EXITED, True)


def test_a_restart_by_us_gives_a_new_start(lab: Lab) -> None:
    again, runtime = lab.start("trap 'exit 0' TERM; " + "while true; do sleep 0.1; done"), lab.runtime()
    before = runtime.inspect(again).started_at
    assert before
    wait_until(lambda: runtime.sample(again))
    runtime.restart(again)

    after = runtime.inspect(again)
    assert after.state is RunState.RUNNING
    assert after.started_at
    assert after.started_at >= before


def test_no_log_line_is_read_twice_or_lost(lab: Lab) -> None:
    count = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo line $i; sleep 0.005; done; " + IDLE
    writer, runtime = lab.start(count), lab.runtime()
    lines: list[str] = []
    cursor = ""

    def read() -> bool:
        nonlocal cursor
        window = runtime.logs(writer, cursor=cursor)
        lines.extend(window.lines)
        cursor = window.cursor
        return "line 300" in lines

    wait_until(read, 20, "the last line is read")
    assert lines == [f"line {n}" for n in range(1, 301)]
    assert runtime.logs(writer, cursor=cursor).lines == []


def test_a_flood_is_read_up_to_its_bound_marked_and_summed_up(lab: Lab) -> None:
    flood = "while true; do echo '\x1b[31mWebSocket connection timeout after 30 s token=hunter2\x1b[0m'; done"
    writer, runtime = lab.start(flood), lab.runtime()
    first = runtime.logs(writer, cursor="")
    window = wait_until(lambda: (now := runtime.logs(writer, cursor=first.cursor, limit=200)).capped and now)
    lab.stop(writer)

    assert window
    assert 0 < len(window.lines) <= 200
    assert window.span_s
    top = summarise(window.lines).templates[0]
    assert top.template == "WebSocket connection timeout after <n> s token=[secret]"


def test_a_service_that_is_not_there_is_told_from_a_runtime_that_is_not_there(lab: Lab) -> None:
    runtime = lab.runtime()
    for ask in (runtime.sample, runtime.inspect, runtime.health, runtime.restart):
        with pytest.raises(ServiceMissing):
            ask("nobody")
    with pytest.raises(ServiceMissing):
        runtime.logs("nobody", cursor="")


def test_an_ended_service_refuses_to_be_sampled(lab: Lab) -> None:
    over, runtime = lab.start("exit 0"), lab.runtime()
    wait_until(lambda: runtime.inspect(over).state is RunState.EXITED)
    with pytest.raises(RuntimeRefused):
        runtime.sample(over)


@pytest.mark.parametrize("kind", [RuntimeKind.PROCESS, RuntimeKind.DOCKER])
@pytest.mark.parametrize("left", [False, True], ids=["no socket", "a dead one's socket"])
def test_a_runtime_that_is_not_there_is_unavailable_in_one_sentence(
    tmp_path: Path, kind: RuntimeKind, left: bool
) -> None:
    if left:
        for name in ("sock", "supervisor.sock"):
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(tmp_path / name))
    runtime: Runtime = (
        ProcessRuntime(tmp_path, heartbeat=lambda _key: None, memory={})
        if kind is RuntimeKind.PROCESS
        else DockerRuntime(f"unix://{tmp_path}/sock")
    )
    with pytest.raises(RuntimeUnavailable, match="does not answer") as told:
        runtime.list()
    assert "\n" not in str(told.value)
    assert isinstance(told.value, RuntimeProblem)
    runtime.close()
