"""Numbers of reports and messages at their edges: units, days, None beside 0, clocks that step back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from incidents.clocks import clocks
from incidents.reports import draft_causes, draft_status
from incidents.reports.appendix import day
from incidents.reports.facts import Facts, Source, number
from incidents.reports.words import GIB, MIB, Words
from incidents.texts import duration
from tests.incidents.conftest import NOW
from tests.incidents.measured import LOGS, METRICS

EN, KO = Words("en"), Words("ko")


def facts(metrics=None, logs=None) -> Facts:
    """What was measured of the seed's service, with some values changed."""
    found = [Source("metrics", "api-gateway", METRICS | (metrics or {}), 1)]
    if logs is not None:
        found.append(Source("logs", "api-gateway", LOGS | logs, 2))
    return Facts(title="x", slug="x", service="api-gateway", analysed_at=NOW, sources=tuple(found))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "No data"),
        (0, "0 KB"),
        (300, "300 B"),
        (1024, "1 KB"),
        (1024 * 1024 - 1, "1 MB"),
        (257 * MIB, "257 MB"),
        (257_000_000, "245 MB"),
        (1023.4 * MIB, "1023 MB"),
        (1023.6 * MIB, "1.00 GB"),
        (10.23 * GIB, "10.23 GB"),
    ],
)
def test_bytes_count_in_powers_of_1024_and_never_round_to_1024_of_a_unit(value, shown) -> None:
    assert EN.size(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0초"),
        (0, "0초"),
        (59.6, "1분"),
        (11_910, "3시간 18분"),
        (86_399.6, "1일"),
        (40_000_000, "462일 23시간"),
    ],
)
def test_a_duration_is_never_negative_and_ends_in_days(seconds, shown) -> None:
    assert KO.span(seconds) == shown


@pytest.mark.usefixtures("english")
def test_a_message_tells_days_from_24_hours_on() -> None:
    told = [duration(seconds) for seconds in (-1, 86_399, 86_400, 400 * 86_400 + 7_200)]
    assert told == ["0 s", "23 h 59 min", "1 d 0 h", "400 d 2 h"]


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (datetime(2026, 2, 5, 14, 59, 59, tzinfo=UTC), "20260205"),
        (datetime(2026, 2, 5, 15, 0, tzinfo=UTC), "20260206"),
        (datetime(2026, 2, 6, 14, 59, 59, tzinfo=UTC), "20260206"),
        (datetime(2026, 12, 31, 15, 1, tzinfo=UTC), "20270101"),
    ],
)
def test_a_file_is_named_by_the_korean_day(at, shown) -> None:
    assert day(at) == shown
    assert timezone.localdate(at).strftime("%Y%m%d") == shown


def test_what_began_before_midnight_and_was_noticed_after_it_was_undetected_for_two_minutes() -> None:
    began = datetime(2026, 2, 5, 14, 59, tzinfo=UTC)
    times = dict.fromkeys(("acknowledged_at", "mitigated_at", "resolved_at"))
    found = clocks(
        impact_started_at=began,
        detected_at=began + timedelta(minutes=2),
        now=began + timedelta(days=3),
        **times,
    )
    assert (found.undetected_s, found.impact_s) == (120, 3 * 86_400)


def test_a_clock_that_stepped_back_gives_no_negative_time() -> None:
    back = NOW - timedelta(hours=1)
    found = clocks(
        impact_started_at=NOW,
        detected_at=back,
        acknowledged_at=back - timedelta(hours=1),
        mitigated_at=back,
        resolved_at=None,
        now=back - timedelta(days=1),
    )
    assert (found.undetected_s, found.impact_s, found.response_s) == (0, 0, 0)
    assert all(step.seconds in (0, None) for step in found.steps)


@pytest.mark.parametrize("value", [None, True, "5", float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_was_not_measured(value) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("before", "now", "restarts"),
    [
        ([], 7, 0),
        ([7], 7, 0),
        ([3], 7, 4),
        ([5, 6], 1, 2),
        ([5], 0, 0),
        ([None, 2, None], 3, 1),
        ([2], None, 0),
    ],
    ids=["no history", "one sample", "a loop", "a new container", "a new one is calm", "gaps", "none now"],
)
def test_restarts_are_those_of_the_history_and_never_negative(before, now, restarts) -> None:
    series = [{"restart_count": count} for count in before]
    assert facts({"restart_count": now, "series": series}).restarts == restarts


def test_a_share_that_was_not_stored_follows_from_the_counts() -> None:
    rows = [
        {"template": "retry <n>", "count": 30, "share": None},
        {"template": "ok", "count": 10, "share": None},
    ]
    found = facts(logs={"templates": rows, "lines_total": 0}, metrics={"log_lines_total": None})
    assert [row.share for row in found.templates] == [0.75, 0.25]
    assert found.retry is not None


def test_services_that_nobody_measured_are_not_counted_as_quiet() -> None:
    calm = {"state": "running", "health": "none", "cpu_percent": 0.2, "memory_bytes": 40 * MIB}
    unknown = calm | {"cpu_percent": None, "memory_bytes": None}
    named = [{**one, "service": f"s{number}"} for number, one in enumerate((calm, calm, unknown))]
    rest = draft_status.rows(facts({"others": named}), EN)[-1]
    assert (rest.cpu, rest.memory) == ("<1% (2 measured)", "<100 MB (2 measured)")
    rest = draft_status.rows(facts({"others": named[:2]}), EN)[-1]
    assert (rest.cpu, rest.memory) == ("<1%", "<100 MB")
    rest = draft_status.rows(facts({"others": named[2:]}), EN)[-1]
    assert (rest.cpu, rest.memory) == ("No data", "No data")


def test_cpu_of_a_core_is_told_beside_the_limit_that_it_reached() -> None:
    half = facts({"cpu_percent": 48.0, "cpu_limit_cores": 0.5})
    texts = [row.text for row in draft_causes.rows(half, EN)]
    assert "CPU exhausted (48.00% of one core, limit 0.5 cores), other requests wait" in texts
    assert not facts({"cpu_percent": 102.8, "cpu_limit_cores": 2.0}).cpu_high
    assert facts({"cpu_percent": 0.0}).number("cpu_percent") == 0.0
