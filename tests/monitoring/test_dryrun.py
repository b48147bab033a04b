"""What a rule would have done on the history that is kept."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from portal.monitoring import dryrun
from portal.monitoring.dryrun import dry_run
from portal.monitoring.models import (
    Endpoint,
    Observation,
    ProbeKind,
    ProbeResult,
    Rule,
    RuntimeKind,
    Service,
    ServiceMinute,
    ServiceState,
)
from tests.monitoring.stage import MIB, NOW

pytestmark = pytest.mark.django_db


def history(name: str, values: list[float], *, column: str = "cpu_percent", every_s: float = 5.0) -> Service:
    """A service whose newest reading was at ``NOW``."""
    service = Service.objects.create(runtime=RuntimeKind.DOCKER, name=name, discovered_at=NOW)
    ServiceState.objects.create(service=service, at=NOW)
    start = NOW - timedelta(seconds=every_s * (len(values) - 1))
    Observation.objects.bulk_create(
        Observation(service=service, at=start + timedelta(seconds=every_s * number), **{column: value})
        for number, value in enumerate(values)
    )
    return service


def cpu(**changes: object) -> Rule:
    """The shipped rule, changed and not saved."""
    rule = Rule.objects.get(name="cpu-sustained")
    for name, value in changes.items():
        setattr(rule, name, value)
    return rule


BURST = [10.0] * 10 + [95.0] * 8


def test_it_counts_and_lists_every_time_it_would_have_opened() -> None:
    history("api", BURST * 2 + [10.0] * 10)
    history("calm", [10.0] * 50)
    result = dry_run(cpu(), now=NOW)
    assert (result.total, result.matching, result.looked_at, result.complete) == (2, 2, 2, True)
    newest, oldest = result.firings
    assert (newest.name, newest.value) == ("api", 95.0)
    assert newest.at - oldest.at == timedelta(seconds=5 * len(BURST))


def test_changing_the_rule_changes_the_answer_without_saving_it() -> None:
    history("api", BURST * 2)
    assert dry_run(cpu(open_above=96), now=NOW).total == 0
    assert dry_run(cpu(open_after=9), now=NOW).total == 0
    assert dry_run(cpu(service_pattern="web-*"), now=NOW).matching == 0
    assert Rule.objects.get(name="cpu-sustained").open_above == 90


def test_four_bursts_within_half_an_hour_are_flapping_not_four_alerts() -> None:
    history("api", (BURST + [10.0] * 5) * 6)
    assert dry_run(cpu(), now=NOW).total == 2


def test_limits_count() -> None:
    service = history("api", BURST)
    ServiceState.objects.filter(service=service).update(cpu_limit_cores=2.0)
    assert dry_run(cpu(), now=NOW).total == 0
    assert dry_run(cpu(open_above=47, close_below=40), now=NOW).total == 1


def test_probes_restarts_and_leaks_have_a_history_too() -> None:
    endpoint = Endpoint.objects.create(name="api", kind=ProbeKind.HTTP, url="http://127.0.0.1:1/")
    ProbeResult.objects.bulk_create(
        ProbeResult(endpoint=endpoint, at=NOW - timedelta(minutes=10 - number), ok=number < 5)
        for number in range(10)
    )
    assert dry_run(Rule.objects.get(name="probe-failing"), now=NOW).total == 1

    history("loop", [0, 0, 1, 2, 3, 3], column="restart_count")
    assert dry_run(Rule.objects.get(name="restart-loop"), now=NOW).total == 1

    leak = [number * 30.0 * MIB for number in range(80)]
    history("leak", leak, column="memory_bytes", every_s=30)
    found = dry_run(Rule.objects.get(name="memory-growing"), now=NOW)
    assert found.total == 1
    assert found.firings[0].value == pytest.approx(60)


def test_a_rule_whose_history_is_not_kept_says_so() -> None:
    assert dry_run(Rule.objects.get(name="gateway-not-live"), now=NOW).supported is False


def test_readings_older_than_a_week_are_not_looked_at() -> None:
    history("api", BURST)
    assert dry_run(cpu(), now=NOW + timedelta(days=8)).rows == 0


def test_it_stops_in_time_and_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        history(f"api-{number}", BURST)
    monkeypatch.setattr(dryrun, "TIME_LIMIT_S", -1.0)
    began = time.monotonic()
    result = dry_run(cpu(), now=NOW)
    assert time.monotonic() - began < 2
    assert (result.complete, result.looked_at) == (False, 0)

    monkeypatch.setattr(dryrun, "TIME_LIMIT_S", 60.0)
    monkeypatch.setattr(dryrun, "MAX_ROWS", 10)
    assert dry_run(cpu(), now=NOW).complete is False


def test_the_list_is_bounded_and_the_count_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dryrun, "MAX_LISTED", 1)
    monkeypatch.setattr(dryrun, "TIME_LIMIT_S", 60.0)
    history("api", BURST)
    history("web", BURST)
    result = dry_run(cpu(), now=NOW)
    assert (result.total, len(result.firings)) == (2, 1)


def test_a_burst_of_a_minute_days_ago_counts_by_the_readings_it_was_made_of() -> None:
    service = history("api", [10.0] * 10)
    for minutes, used in ((0, 10.0), (1, 95.0), (2, 10.0), (3, 10.0)):
        at = NOW - timedelta(days=3) + timedelta(minutes=minutes)
        ServiceMinute.objects.create(service=service, at=at, samples=12, cpu_percent_mean=used)
    result = dry_run(cpu(), now=NOW)
    assert result.total == 1
    assert result.firings[0].at < NOW - timedelta(days=2)
