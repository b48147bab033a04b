"""The log flood drill: what it writes is bounded, and nothing but its result is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.drills.plan import Measured, Rule
from gateway.drills.stage import DrillAborted, DrillBroken
from incidents.models import Incident, Notification
from portal.monitoring.models import Alert, RuleKind, Service
from portal.monitoring.models import Rule as AlertRule
from portal.operations import drill_flood
from portal.operations.drill_flood import flood, judge

pytestmark = pytest.mark.django_db
GOOD = Measured(
    drill="log-flood",
    window_s=15.0,
    told={"opened": 15.0},
    written=6000,
    lines=6000,
    top_share=1.0,
    cpu_s=0.1,
    recovered_s=15.0,
)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_flood, "BASE_S", 0.2)
    monkeypatch.setattr(drill_flood, "TICK_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_the_flood_is_read_by_the_collector_and_opens_the_rule_on_the_side(tmp_path: Path) -> None:
    phases: list[str] = []

    def progress(measured: Measured) -> bool:
        phases.append(measured.phase)
        return True

    seen = flood(tmp_path, progress)
    assert seen.told["opened"] <= drill_flood.FLOOD_S
    assert seen.recovered_s is not None
    assert 0 < seen.written <= drill_flood.LINES_MAX
    assert seen.top_share == 1.0
    assert "<n>" in seen.sample[0]
    assert list(dict.fromkeys(phases)) == ["fault", "recovering"]
    assert list(tmp_path.iterdir()) == [], "the file is gone"
    for model in (Service, Alert, Incident, Notification):
        assert not model.objects.exists(), model


@pytest.mark.usefixtures("quick")
def test_it_ends_when_asked_and_cleans_up(tmp_path: Path) -> None:
    with pytest.raises(DrillAborted):
        flood(tmp_path, lambda _measured: False)
    assert list(tmp_path.iterdir()) == []


def test_without_a_rule_it_cannot_be_played(tmp_path: Path) -> None:
    AlertRule.objects.filter(kind=RuleKind.LOG_FLOOD).update(enabled=False)
    with pytest.raises(DrillBroken):
        flood(tmp_path, lambda _measured: True)


def unmet(measured: Measured) -> set[str]:
    return {check.rule for check in judge(measured) if not check.met}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"told": {}}, Rule.OPENED),
        ({"told": {"opened": 61.0}}, Rule.OPENED),
        ({"lines": 3000}, Rule.COUNTED),
        ({"top_share": 0.5}, Rule.TEMPLATE),
        ({"top_share": None}, Rule.TEMPLATE),
        ({"cpu_s": 1.0}, Rule.CPU),
        ({"recovered_s": None}, Rule.CLOSED),
    ],
)
def test_each_expectation_fails_by_itself(change: dict[str, object], rule: Rule) -> None:
    assert unmet(GOOD) == set()
    assert unmet(replace(GOOD, **change)) == {rule}  # type: ignore[arg-type]


def test_a_rate_that_is_marked_as_a_lower_bound_counts_as_seen() -> None:
    assert unmet(replace(GOOD, lines=100, runaway=True)) == set()
