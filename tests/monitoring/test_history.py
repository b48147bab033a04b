"""What charts get: few points, every spike, gaps as gaps, and the marks of the same time."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from incidents.models import Incident
from portal.monitoring import history, rollups
from portal.monitoring.folding import window
from portal.monitoring.history import BadWindow, choose
from portal.monitoring.models import (
    ConfigSnapshot,
    Endpoint,
    EventAction,
    Observation,
    ProbeKind,
    ProbeResult,
    RuntimeKind,
    Service,
    ServiceEvent,
    ServiceHour,
    ServiceMinute,
)
from tests.monitoring.stage import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def watched() -> Service:
    return Service.objects.create(runtime=RuntimeKind.DOCKER, name="api", discovered_at=NOW)


@pytest.mark.parametrize(
    ("span", "ago", "source"),
    [
        (HOUR, timedelta(), "raw"), (2 * HOUR, timedelta(), "raw"), (6 * HOUR, timedelta(), "minute"),
        (DAY, timedelta(), "minute"), (7 * DAY, timedelta(), "hour"), (30 * DAY, timedelta(), "hour"),
        (HOUR, 3 * DAY, "minute"), (HOUR, 20 * DAY, "hour"), (400 * DAY, timedelta(), "hour"),
    ],
)  # fmt: skip
def test_the_finest_step_that_is_still_stored_is_read(span: timedelta, ago: timedelta, source: str) -> None:
    chosen = choose(NOW - ago - span, NOW - ago, NOW)
    assert chosen.source == source
    points = (chosen.end.timestamp() - chosen.origin) / chosen.step
    assert points <= history.POINTS_MAX


@pytest.mark.parametrize(
    ("start", "end"), [(NOW, NOW), (NOW, NOW - HOUR), (NOW + HOUR, NOW + DAY), (NOW - 401 * DAY, NOW)]
)
def test_a_window_that_cannot_be_shown_says_why(start: datetime, end: datetime) -> None:
    with pytest.raises(BadWindow, match="The window must"):
        choose(start, end, NOW)


@pytest.mark.django_db
def test_an_hour_of_sweeps_is_folded_and_its_spike_survives(watched: Service) -> None:
    start = NOW - HOUR
    Observation.objects.bulk_create(
        Observation(
            service=watched,
            at=start + timedelta(seconds=5 * number),
            cpu_percent=99.0 if number == 333 else 1.0,
            memory_bytes=number,
        )
        for number in range(720)
    )

    found = history.read(watched, start, NOW, NOW)

    assert 300 <= len(found.points) <= history.POINTS_MAX
    pairs = [pair for pair in found.series("cpu_percent") if pair]
    assert max(high for _mean, high in pairs) == 99.0
    assert min(mean for mean, _high in pairs) == 1.0
    assert all(mean < 99.0 for mean, _high in pairs)


@pytest.mark.django_db
def test_minutes_are_followed_by_what_is_not_rolled_up_yet(watched: Service) -> None:
    for number in range(40):
        at = NOW - 20 * MINUTE + timedelta(seconds=30 * number)
        Observation.objects.create(service=watched, at=at, cpu_percent=float(number), memory_bytes=1)
    rollups.roll_up(NOW - 2 * MINUTE)
    assert ServiceMinute.objects.count() == 18

    found = history.read(watched, NOW - 6 * HOUR, NOW, NOW)

    assert found.window.source == "minute"
    assert sum(point.samples for point in found.points) == 40, "each reading once"
    assert [pair[1] for pair in found.series("cpu_percent") if pair][-1] == 39


@pytest.mark.django_db
def test_hours_hold_thirty_days_and_a_gap_stays_a_gap(watched: Service) -> None:
    for number in range(30 * 24):
        if 100 <= number < 150:
            continue
        at = window(NOW, 3600) - number * HOUR
        spike = 777.0 if number == 500 else 2.0
        ServiceHour.objects.create(
            service=watched, at=at, samples=720, cpu_percent_mean=1.0, cpu_percent_max=spike
        )

    found = history.read(watched, NOW - 30 * DAY, NOW, NOW)

    assert len(found.points) <= history.POINTS_MAX
    assert max(pair[1] for pair in found.series("cpu_percent") if pair) == 777.0
    gaps = [after.at - before.at for before, after in zip(found.points, found.points[1:], strict=False)]
    assert max(gaps) >= 48 * 3600


@pytest.mark.django_db
def test_events_of_the_window_are_marked(watched: Service) -> None:
    def incident(number: int, opened: datetime, resolved: datetime | None, name: str = "api") -> None:
        Incident.objects.create(
            number=number, title="loop", slug="loop", fingerprint=f"service:docker:{name}",
            opened_at=opened, resolved_at=resolved, state="resolved" if resolved else "detected",
        )  # fmt: skip

    incident(1, NOW - 2 * HOUR, NOW - 30 * MINUTE)
    incident(2, NOW - 20 * MINUTE, None)
    incident(3, NOW - 3 * HOUR, NOW - 2 * HOUR)
    incident(4, NOW - 10 * MINUTE, None, name="another")
    for minutes, count in ((50, 1), (40, 1), (15, 3)):
        Observation.objects.create(
            service=watched, at=NOW - minutes * MINUTE, memory_bytes=1, restart_count=count
        )

    for key, minutes in (("old", 90), ("first", 45), ("second", 5)):
        at = NOW - minutes * MINUTE
        ConfigSnapshot.objects.create(service=watched, content_hash=key, first_at=at, last_at=at)
    for key, action, code, asked in (
        ("a", EventAction.DIE, 3, False),
        ("b", EventAction.DIE, 143, True),
        ("c", EventAction.OOM, None, None),
    ):
        ServiceEvent.objects.create(
            service=watched, runtime="docker", key=key, name="api", at=NOW - 2 * MINUTE, action=action,
            exit_code=code, on_purpose=asked,
        )  # fmt: skip

    found = history.read(watched, NOW - HOUR, NOW, NOW)

    assert [(event.kind, event.number, event.text) for event in found.events] == [
        ("changed", None, ""),
        ("resolved", 1, "loop"),
        ("opened", 2, "loop"),
        ("restarted", None, "2"),
        ("changed", None, ""),
        ("oom", None, ""),
        ("crashed", None, "3"),
    ]


@pytest.mark.django_db
def test_probes_of_each_endpoint_come_on_the_same_axis(watched: Service) -> None:
    for name in ("a", "b"):
        endpoint = Endpoint.objects.create(
            service=watched, name=name, kind=ProbeKind.HTTP, url=f"http://127.0.0.1/{name}"
        )
        for seconds in range(0, 600, 10):
            at = NOW - timedelta(seconds=600 - seconds)
            ok = name == "a" or seconds != 300
            ProbeResult.objects.create(endpoint=endpoint, at=at, ok=ok, latency_ms=float(seconds))

    good, bad = history.read(watched, NOW - HOUR, NOW, NOW).endpoints

    assert [good.endpoint.name, bad.endpoint.name] == ["a", "b"]
    assert {point.values[0][0] for point in good.points if point.values[0]} == {1.0}
    assert sum(point.values[0] is not None and point.values[0][0] < 1 for point in bad.points) == 1
    assert max(point.values[1][1] for point in bad.points if point.values[1]) == 590


@pytest.mark.django_db
def test_a_history_takes_eight_queries_at_most(watched: Service, django_assert_max_num_queries) -> None:
    now = timezone.now()
    Endpoint.objects.create(service=watched, name="e", kind=ProbeKind.HTTP, url="http://127.0.0.1/")
    for span in (HOUR, 6 * HOUR, 30 * DAY):
        with django_assert_max_num_queries(8):
            history.read(watched, now - span, now, now)
