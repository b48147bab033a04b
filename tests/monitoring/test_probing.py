"""Which endpoints are probed when, by whom, and what becomes of the results."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.utils import timezone

from portal.monitoring import engine, probing, tasks
from portal.monitoring.models import (
    Alert,
    Endpoint,
    ProbeKind,
    Prober,
    ProbeResult,
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
)
from portal.monitoring.probes import run, schedule
from portal.monitoring.probes.base import ProbeReading, Stopwatch, unknown
from tests.monitoring.probe_servers import http_server, replying
from tests.monitoring.stage import NOW
from tests.mute import mute
from tests.services import free_port

pytestmark = pytest.mark.django_db


def endpoint(name: str, url: str = "", **changes: object) -> Endpoint:
    """An endpoint of no service."""
    given = {"name": name, "kind": ProbeKind.HTTP, "url": url or f"http://127.0.0.1:1/{name}"}
    return Endpoint.objects.create(**(given | changes))


def service(name: str, state: RunState, **changes: object) -> Service:
    """A service in a state."""
    created = Service.objects.create(runtime=RuntimeKind.DOCKER, name=name, discovered_at=NOW)
    ServiceState.objects.create(service=created, state=state, at=NOW, **changes)
    return created


def labelled(name: str, url: str) -> Endpoint:
    """An endpoint that its service's label asks for."""
    owner = service(name, RunState.RUNNING)
    Service.objects.filter(pk=owner.pk).update(labels={"bonghwa.http": url})
    return endpoint(name, url, service=owner, from_label=True)


def claimed(count: int = 50) -> list[str]:
    """Names of what one claim gets."""
    return [one.name for one in probing.claim(count)]


def test_an_endpoint_of_a_stopped_gone_or_unwatched_service_is_not_probed() -> None:
    endpoint("a", service=service("a", RunState.RUNNING))
    endpoint("b", service=service("b", RunState.GONE))
    endpoint("c", service=service("c", RunState.EXITED, stopped_on_purpose=True))
    endpoint("d", service=service("d", RunState.EXITED, stopped_on_purpose=False))
    off = service("e", RunState.RUNNING)
    Service.objects.filter(pk=off.pk).update(enabled=False)
    endpoint("e", service=off)
    endpoint("switched off", enabled=False)
    elsewhere = Prober(name="seoul")
    elsewhere.make_token()
    elsewhere.save()
    endpoint("probed elsewhere", prober=elsewhere)
    endpoint("free")

    assert claimed() == ["a", "d", "free"]


def test_what_one_worker_claimed_no_other_gets_until_its_lease_ends() -> None:
    endpoint("a")
    endpoint("b")
    assert claimed(1) == ["a"]
    assert claimed() == ["b"]
    assert claimed() == []
    Endpoint.objects.filter(name="a").update(next_at=timezone.now() - timedelta(seconds=1))
    assert claimed() == ["a"]


def test_the_longest_waiting_comes_first() -> None:
    now = timezone.now()
    for name, late in (("b", 10), ("c", 30), ("a", 20)):
        endpoint(name, next_at=now - timedelta(seconds=late))
    assert claimed() == ["c", "a", "b"]


def waits(row: Endpoint, reading: ProbeReading) -> float:
    """Seconds until ``row`` is probed again after ``reading``."""
    probing.record([(row, reading)])
    row.refresh_from_db()
    assert row.next_at is not None
    return (row.next_at - timezone.now()).total_seconds()


def test_a_healthy_endpoint_waits_a_minute_and_a_failing_one_twenty_seconds_after_two_quick_looks() -> None:
    row = endpoint("a")
    good, bad = Stopwatch().passed("HTTP 200"), Stopwatch().failed("HTTP 502")
    assert 44 < waits(row, good) <= 57
    assert [round(waits(row, bad)) for _look in range(2)] == [3, 3]
    assert 14 < waits(row, bad) <= 19
    assert 14 < waits(row, unknown("no network")) <= 19
    assert round(waits(row, good)) == 3, "two passes close an alert"
    assert 44 < waits(row, good) <= 57


@pytest.mark.parametrize(
    ("failures", "least", "most"), [(0, 45, 57), (1, 3, 3), (2, 3, 3), (3, 15, 19), (99, 15, 19)]
)
def test_the_delay_spreads_and_never_passes_its_interval(failures: int, least: float, most: float) -> None:
    delays = [schedule.delay_s(failures=failures, interval_s=60, random=at) for at in (0.0, 0.5, 0.999)]
    assert least <= min(delays)
    assert max(delays) <= most
    assert schedule.delay_s(failures=0, interval_s=0, random=0) >= 7


def test_a_fresh_failure_opens_an_alert_within_ninety_seconds_at_the_latest() -> None:
    """The longest interval, the beat's period, and a probe of five seconds, three times."""
    longest = schedule.delay_s(failures=0, interval_s=60, random=1)
    beat, probe = 5.0, 5.0
    assert longest + probe + 2 * (max(beat, schedule.CONFIRM_S) + probe) + beat <= 90


@pytest.mark.usefixtures("redis_client")
def test_three_failures_of_a_dead_port_open_an_alert_and_nothing_else_is_touched(settings) -> None:
    settings.PROBE_ALLOW = ["loopback"]
    dead = endpoint("dead", f"http://127.0.0.1:{free_port()}/")
    with http_server(replying(200)) as url:
        endpoint("alive", url)
        for _round in range(3):
            Endpoint.objects.update(next_at=None)
            tasks.probe()
    assert Alert.objects.get().subject == f"endpoint:{dead.pk}"
    seen = {one.name: (one.ok, one.detail, one.failures) for one in Endpoint.objects.all()}
    assert seen == {"dead": (False, "Connection refused", 3), "alive": (True, "HTTP 200", 0)}


@pytest.mark.usefixtures("redis_client")
def test_a_refused_address_is_unknown_and_opens_nothing() -> None:
    endpoint("typed", "http://127.0.0.1:1/")
    labelled("label", f"http://127.0.0.1:{free_port()}/")
    labelled("moved", f"http://127.0.0.1:{free_port()}/")
    Endpoint.objects.filter(name="moved").update(url="http://127.0.0.1:6379/")
    for _round in range(4):
        Endpoint.objects.update(next_at=None)
        tasks.probe()
    seen = {one.name: one.ok for one in Endpoint.objects.all()}
    assert seen == {"typed": None, "label": False, "moved": None}
    assert "PROBE_ALLOW" in Endpoint.objects.get(name="typed").detail
    assert set(ProbeResult.objects.values_list("endpoint__name", flat=True)) == {"label"}


@pytest.mark.usefixtures("redis_client")
def test_without_our_own_network_outside_targets_are_unknown(settings) -> None:
    settings.PROBE_CONNECTIVITY = [f"127.0.0.1:{free_port()}"]
    row = endpoint("outside", "http://no-such-host.invalid/")
    tasks.probe()
    row.refresh_from_db()
    assert row.ok is None
    assert row.detail.startswith("this prober's own network does not answer")
    assert not ProbeResult.objects.exists()


def test_three_intervals_without_a_result_are_unknown() -> None:
    row = endpoint("a")
    probing.record([(row, Stopwatch().passed("HTTP 200"))])
    row.refresh_from_db()
    assert row.at is not None
    assert row.stale_at == row.at + timedelta(seconds=3 * 60 + 10)
    assert row.passing(row.stale_at) is True
    later = row.stale_at + timedelta(seconds=1)
    assert row.passing(later) is None
    assert (probing.mark_stale(row.stale_at), probing.mark_stale(later), probing.mark_stale(later)) == (
        0,
        1,
        0,
    )
    row.refresh_from_db()
    assert (row.ok, row.detail) == (None, "no result for three intervals")


def test_a_broken_probe_is_unknown_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    good, broken = endpoint("good"), endpoint("broken")

    def ask(row: Endpoint) -> ProbeReading:
        if row.name == "broken":
            raise ZeroDivisionError
        return Stopwatch().passed("HTTP 200")

    for batch in run.probe_due(probing.claim, ask):
        engine.evaluate(probing.record(batch))
    good.refresh_from_db()
    broken.refresh_from_db()
    assert (good.ok, broken.ok, broken.detail) == (True, None, "collector error")
    assert "probe of broken is broken" in caplog.text


def test_a_slow_target_delays_no_other_and_is_left_out_at_the_rounds_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "ROUND_LIMIT_S", 0.6)
    monkeypatch.setattr(run, "LOOK_S", 0.05)
    free = threading.Event()
    waiting = [["slow", "first"], [], ["due meanwhile"]]

    def ask(name: str) -> ProbeReading:
        if name == "slow":
            free.wait(20)
        return Stopwatch().passed("HTTP 200")

    with ExitStack() as stack:
        stack.callback(free.set)
        batches = run.probe_due(lambda _free: waiting.pop(0) if waiting else [], ask)
        assert [name for batch in batches for name, _reading in batch] == ["first", "due meanwhile"]


def test_no_more_than_sixteen_probes_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def claim(count: int) -> list[int]:
        asked.append(count)
        return list(range(count)) if len(asked) == 1 else []

    done = [item for batch in run.probe_due(claim, lambda _item: unknown("x")) for item, _reading in batch]
    assert asked[0] == len(done) == run.PARALLEL


def test_an_endpoints_time_limit_is_bounded() -> None:
    row = labelled("a", "http://127.0.0.1/")
    row.timeout_s = -5
    assert probing.target_of(row).timeout_s == 0.1
    row.timeout_s = 1e9
    assert probing.target_of(row).timeout_s == 10.0
    with mute() as server:
        silent = labelled("mute", f"http://127.0.0.1:{server.port}/")
        silent.timeout_s = 0
        silent.refresh_from_db(fields=["service"])
        assert probing.probe(silent).detail == "timeout after 0.1 s"


def test_settings_are_in_the_history_and_measurements_are_not() -> None:
    row = endpoint("a")
    probing.record([(row, Stopwatch().failed("HTTP 502"))])
    row.refresh_from_db()
    row.name = "b"
    row.save()
    assert [one.name for one in row.history.all()] == ["b", "a"]
    assert not hasattr(row.history.first(), "detail")
