"""Sentences and numbers as an operator reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.utils import translation

from gateway.status import FeedState
from incidents.models import TimelineEvent, TimelineKind
from portal.dashboard import wording
from portal.dashboard.data import Dashboard, ServiceRow
from portal.dashboard.timeline import entry
from tests.dashboard.test_data import ALERT, NOW, WELL, incident, panel

SICK = replace(
    WELL,
    health="unhealthy",
    failing_streak=397,
    cpu_percent=102.8,
    cpu_limit_cores=None,
    memory_bytes=int(10.23 * 1024**3),
    memory_limit_bytes=None,
    log_lines_per_s=1840.0,
    top_template_share=0.98,
)


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


def test_the_seeds_service_is_explained_in_one_sentence() -> None:
    assert wording.why(SICK) == (
        "unhealthy for 3 h 18 min, CPU at 102.8% of one core, 10.23 GB of memory without a limit, "
        "98% of its log is one message"
    )


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (WELL, ""),
        (replace(WELL, state="gone"), ""),
        (replace(WELL, age_s=360.0), "no reading for 6 min"),
        (replace(WELL, age_s=None), "never measured"),
        (replace(WELL, age_s=30.0, error="Engine away"), "not measured: Engine away"),
        (replace(WELL, health="unhealthy", failing_streak=4, cpu_percent=1.0, health_interval_s=None),
         "4 failed health checks in a row"),
        (replace(WELL, cpu_percent=1.0, alerts=(ALERT,)), "too hot"),
        (replace(WELL, cpu_percent=1.0, failing_endpoints=("ws: 502",)), "probe failing: ws: 502"),
        (replace(WELL, state="exited", exit_code=1, alerts=(ALERT,), cpu_percent=None), "exited with code 1"),
        (replace(WELL, state="restarting", restart_count=7, cpu_percent=1.0), "restarted 7 times"),
        (replace(WELL, health="unhealthy", failing_streak=1, cpu_percent=45.0, memory_bytes=900),
         "unhealthy for 30 s, CPU at 90% of its limit, memory at 88% of its limit"),
    ],
)  # fmt: skip
def test_the_reason_names_what_stands_out(row: ServiceRow, text: str) -> None:
    assert wording.why(row) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (65, "1 min"), (3600, "1 h"), (11_910, "3 h 18 min"),
     (86_400 * 2 + 3600, "2 d 1 h"), (-5, "0 s"), (None, "no data")],
)  # fmt: skip
def test_a_duration_has_at_most_two_units(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (2048, "2 KB"), (257 * 1024**2, "257 MB"), (10.23 * 1024**3, "10.23 GB"),
     (None, "no data")],
)  # fmt: skip
def test_sizes_read_as_docker_prints_them(size: float | None, text: str) -> None:
    assert wording.size(size) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.2"), (102.8, "102.8"), (1840.4, "1,840"), (None, "no data")]
)
def test_large_numbers_lose_their_decimals(value: float | None, text: str) -> None:
    assert wording.decimal(value) == text


def view(**changes: object) -> Dashboard:
    base = Dashboard(now=NOW, services=(WELL,), gateway=panel(FeedState.LIVE), incidents=(), recent=())
    return replace(base, **changes)  # type: ignore[arg-type] # one helper for all fields


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (view(), "All clear"),
        (view(incidents=(incident("critical"),)), "1 open incident: x"),
        (view(services=(SICK, WELL)), "1 service needs attention"),
        (view(gateway=panel(FeedState.PARKED)), "The market-data feed is not live: Parked"),
        (view(services=()), "No service has been measured yet"),
        (view(services=(replace(WELL, age_s=60.0),)), "1 service gives no data"),
        (view(gateway=panel(reachable=False)), "The gateway's state is unknown"),
    ],
)
def test_the_overall_sentence_tells_the_worst_first(shown: Dashboard, text: str) -> None:
    assert wording.overall(shown) == text


def test_a_measure_s_move_reads_the_same_in_whatever_order_its_values_are_stored() -> None:
    values = {
        "text": "Set limits",
        "old": "verified",
        "new": "failing",
        "observed": "no memory limit",
        "changed": "limits.memory_bytes 1073741824 → —",
        "item": 4,
    }
    expected = "Set limits · Verified → Failing · no memory limit · limits.memory_bytes 1073741824 → —"
    for order in (values, dict(sorted(values.items(), key=lambda one: (len(one[0]), one[0])))):
        event = TimelineEvent(at=NOW, kind=TimelineKind.CHECKLIST, data=order)
        assert entry(event).text == expected
