"""Events of a real Engine: none missed, none twice, whoever reads them and whatever happens in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from portal.monitoring import events, retention, services, tasks
from portal.monitoring.collector import Sweep
from portal.monitoring.events import ContainerEvent
from portal.monitoring.models import EventCursor, RuleKind, RunState, RuntimeKind, Service, ServiceEvent
from portal.monitoring.runtimes.base import EventWindow, Inspection, RuntimeEvent
from tests.conditions import wait_until
from tests.monitoring.labs import DockerLab, docker_lab
from tests.monitoring.stage import NOW, Stage, inspected

IDLE = "while true; do sleep 1; done"
CRASH_ONCE = "[ -e /tmp/was-here ] || { touch /tmp/was-here; exit 7; }; " + IDLE
docker = RuntimeKind.DOCKER


@pytest.fixture
def lab(docker_host: str, busybox_image: str, settings, redis_client) -> Iterator[DockerLab]:
    """Containers of a real Engine that the settings name."""
    settings.DOCKER_HOST = docker_host
    with docker_lab(docker_host, busybox_image) as containers:
        yield containers


def told(lab: DockerLab, runtime_id: str) -> list[ServiceEvent]:
    """What is stored of a container, oldest first."""
    return list(ServiceEvent.objects.filter(runtime_id=runtime_id).order_by("at", "pk"))


@pytest.mark.docker
@pytest.mark.django_db
def test_a_crash_that_restarts_between_two_sweeps_is_seen_with_its_exit_code(lab: DockerLab) -> None:
    tasks.collect("docker")
    unstable, runtime = lab.start(CRASH_ONCE, restarts=True), lab.runtime()
    wait_until(
        lambda: (seen := runtime.inspect(unstable)).restart_count and seen.state is RunState.RUNNING,
        what="it crashed once and runs again",
    )
    tasks.collect("docker")
    tasks.collect("docker")

    assert [(one.action, one.exit_code, one.on_purpose) for one in told(lab, unstable)] == [
        ("start", None, None),
        ("die", 7, False),
        ("start", None, None),
    ]
    service = Service.objects.get(runtime_id=unstable)
    recent = events.recent_events([service.pk], datetime.now(UTC) - timedelta(minutes=1))
    assert [one.exit_code for one in events.crashes(recent[service.pk])] == [7]


@pytest.mark.docker
@pytest.mark.django_db
def test_stopped_killed_and_restarted_by_a_person_is_no_crash(lab: DockerLab) -> None:
    # A shell that waits may end by SIGINT.
    stopped, killed, restarted = (lab.start(f"trap '' INT; {IDLE}") for _container in range(3))
    tasks.collect("docker")
    lab.client.containers.get(killed).kill("SIGINT")
    lab.client.containers.get(killed).kill()
    lab.client.containers.get(restarted).restart(timeout=1)
    lab.stop(stopped)
    tasks.collect("docker")

    for runtime_id in (stopped, killed, restarted):
        ends = [one for one in told(lab, runtime_id) if one.action == "die"]
        assert [(one.exit_code, one.on_purpose) for one in ends] == [(137, True)]
    assert "restart" in [one.action for one in told(lab, restarted)]


@pytest.mark.docker
@pytest.mark.django_db
def test_a_container_that_opts_out_leaves_no_event(lab: DockerLab) -> None:
    private = lab.start("exit 1", labels={"bonghwa.monitor": "false"})
    shown = lab.start("exit 1")
    wait_until(lambda: tasks.collect("docker") or told(lab, shown), 20, "events are stored", every=0.5)
    assert told(lab, private) == []


@pytest.mark.docker
@pytest.mark.django_db
def test_an_oom_kill_that_its_container_survives_is_an_event(lab: DockerLab) -> None:
    # Again and again: an Engine under load begins to listen for kills after the container has begun to run.
    hungry = lab.start("while :; do tail /dev/zero; sleep 1; done", mem_limit="16m", memswap_limit="16m")

    def seen() -> bool:
        tasks.collect("docker")
        return "oom" in [one.action for one in told(lab, hungry)]

    wait_until(seen, 20, "the OOM kill is stored", every=0.5)
    service = Service.objects.get(runtime_id=hungry)
    assert service.state.state == RunState.RUNNING
    found = events.recent_events([service.pk], datetime.now(UTC) - timedelta(minutes=1))[service.pk]
    assert len(events.oom_kills(found)) == [one.action for one in told(lab, hungry)].count("oom")


@pytest.mark.docker
@pytest.mark.django_db
def test_overlapping_readers_store_exactly_what_the_engine_tells(lab: DockerLab) -> None:
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    loops = [lab.start("exit 3", restarts=True) for _container in range(3)]
    runtimes = [lab.runtime(), lab.runtime()]
    with ThreadPoolExecutor(2) as workers:
        for _round in range(10):
            now = datetime.now(UTC)
            since = events.read_from(docker, now)
            for read in workers.map(lambda runtime: runtime.events(since, now), runtimes):  # noqa: B023 - mapped here
                events.save(docker, read, {})
    for loop in loops:
        lab.stop(loop)
    now = datetime.now(UTC)
    events.save(docker, runtimes[0].events(events.read_from(docker, now), now), {})

    wanted = {"container": loops, "event": ["die", "start", "restart", "oom", "destroy"]}
    raw = lab.client.events(since=began, until=now + timedelta(seconds=1), filters=wanted, decode=True)
    truth = Counter((event["id"], event["Action"], event["timeNano"]) for event in raw)
    stored = Counter(
        (one.runtime_id, one.action, int(one.key.partition(":")[0])) for one in ServiceEvent.objects.all()
    )
    assert {key: n for key, n in stored.items() if key[0] in loops} == truth
    assert sum(truth.values()) >= 12


def window(*seconds: float, until: float = 100, name: str = "api-gateway", lost: bool = False) -> EventWindow:
    """Crashes at these seconds."""
    found = [
        RuntimeEvent(
            key=f"{second}:{name}:die", at=NOW + timedelta(seconds=second), runtime_id=f"id-{name}",
            name=name, action="die", exit_code=1, on_purpose=False,
        )
        for second in seconds
    ]  # fmt: skip
    return EventWindow(events=found, until=NOW + timedelta(seconds=until), lost=lost)


@pytest.mark.django_db
def test_a_window_read_twice_is_stored_once_and_moves_the_cursor() -> None:
    assert events.read_from(docker, NOW) == NOW - events.FIRST_WINDOW
    assert events.save(docker, window(1, 2, until=5), {}) == 2
    assert events.save(docker, window(1, 2, 7, until=10), {}) == 1
    assert events.read_from(docker, NOW + timedelta(seconds=15)) == NOW + timedelta(seconds=10)


@pytest.mark.django_db
def test_the_cursor_waits_for_an_engine_that_is_away_within_bounds() -> None:
    events.save(docker, window(until=0), {})
    assert events.read_from(docker, NOW + timedelta(minutes=2)) == NOW
    late = NOW + timedelta(days=3)
    assert events.read_from(docker, late) == late - events.LONGEST_WINDOW
    assert events.read_from(docker, NOW - timedelta(hours=1)) == NOW - timedelta(hours=1), "clock set back"


@pytest.mark.django_db
def test_what_was_lost_is_counted() -> None:
    events.save(docker, window(until=5), {})
    events.save(docker, window(until=10, lost=True), {})
    cursor = EventCursor.objects.get()
    assert (cursor.gaps, cursor.last_gap_at) == (1, NOW + timedelta(seconds=10))


@pytest.mark.django_db
def test_an_event_of_an_unknown_service_is_kept_by_name_and_of_an_unwatched_one_not_at_all() -> None:
    Stage().sweep()
    service = Service.objects.get()
    service.enabled = False
    events.save(docker, window(1, name="gone-already"), {})
    events.save(docker, window(2), {service.name: service})
    assert [(one.name, one.service_id) for one in ServiceEvent.objects.all()] == [("gone-already", None)]


@pytest.mark.django_db
def test_rules_see_a_crash_between_two_sweeps_as_a_sample_with_its_exit_code() -> None:
    stage = Stage()
    stage.sweep()
    (service,) = Service.objects.all()
    events.save(docker, window(3), {service.name: service})
    stage.sweep()
    swept = services.record(_sweep(stage))
    (restarts,) = [sample for sample in swept if sample.kind == RuleKind.RESTARTS]
    assert (restarts.value, restarts.extra["exit_code"], restarts.extra["crashes"]) == (1.0, 1, 1)


def _sweep(stage: Stage, inspection: Inspection | None = None) -> Sweep:
    return Sweep(
        runtime=docker,
        at=stage.at,
        readings=(stage.reading(inspection),),
        events=window(until=stage.at.timestamp() - NOW.timestamp()),
    )


@pytest.mark.django_db
@pytest.mark.parametrize(("age_s", "counted"), [(5, 1.0), (59, 1.0), (60, 0.0)])
def test_a_settled_container_leaves_the_crashes_of_the_one_it_replaced_behind(
    age_s: float, counted: float
) -> None:
    stage = Stage()
    stage.sweep()
    (service,) = Service.objects.all()
    crash = replace(window(3), events=[replace(window(3).events[0], runtime_id="id-of-the-broken-one")])
    events.save(docker, crash, {service.name: service})
    stage.sweep()
    found = services.record(_sweep(stage, inspected(started_at=stage.at - timedelta(seconds=age_s))))
    seen = {sample.kind: sample.value for sample in found}
    assert (seen[RuleKind.RESTARTS], seen[RuleKind.CRASH]) == (counted, counted)


def test_a_clean_end_and_one_that_was_asked_for_are_no_crashes() -> None:
    ends = [(0, False), (137, True), (1, None), (1, False), (137, False)]
    rows = [ContainerEvent(at=NOW, action="die", exit_code=code, on_purpose=why) for code, why in ends]
    assert events.crashes(rows) == rows[2:]


@pytest.mark.django_db
def test_events_are_kept_for_a_bounded_time_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT_PER_SERVICE", 3)
    events.save(docker, window(1, 2, 3, 4, 5), {})
    events.save(docker, window(-15 * 86_400, name="old"), {})
    assert retention.prune(NOW)[str(ServiceEvent._meta.verbose_name_plural)] == 3
    assert sorted(int(float(one.key.partition(":")[0])) for one in ServiceEvent.objects.all()) == [3, 4, 5]
