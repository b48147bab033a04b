"""How a service, the gateway and the whole are judged; no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gateway.status import FeedState, GatewayStatus
from portal.dashboard.data import AlertRow, Dashboard, GatewayPanel, IncidentRow, Level, ServiceRow

NOW = datetime(2026, 2, 6, 0, 15, tzinfo=UTC)
ALERT = AlertRow(text="too hot", severity="warning", opened_at=NOW, service_id=1, incident=None)
WELL = ServiceRow(
    id=1,
    name="web",
    runtime="docker",
    at=NOW,
    age_s=3.0,
    state="running",
    exit_code=None,
    started_at=None,
    health="healthy",
    failing_streak=0,
    health_interval_s=30.0,
    cpu_percent=50.0,
    cpu_limit_cores=0.5,
    memory_bytes=256,
    memory_limit_bytes=1024,
    restart_count=0,
    log_lines_per_s=0.0,
    log_rate_is_lower_bound=False,
    top_template="",
    top_template_share=None,
    error="",
)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, Level.OK),
        ({"health": "none"}, Level.OK),
        ({"health": "starting"}, Level.OK),
        ({"health": "unhealthy"}, Level.CRITICAL),
        ({"alerts": (ALERT,)}, Level.WARNING),
        ({"alerts": (replace(ALERT, severity="critical"),)}, Level.CRITICAL),
        ({"failing_endpoints": ("ws: 502",)}, Level.WARNING),
        ({"state": "paused"}, Level.WARNING),
        ({"state": "restarting"}, Level.WARNING),
        ({"state": "exited", "exit_code": 0}, Level.OFF),
        ({"state": "exited", "exit_code": 1, "alerts": (ALERT,)}, Level.CRITICAL),
        ({"state": "gone"}, Level.OFF),
        ({"state": "unknown"}, Level.UNKNOWN),
        ({"age_s": 21.0}, Level.UNKNOWN),
        ({"age_s": None}, Level.UNKNOWN),
        ({"age_s": 21.0, "health": "unhealthy"}, Level.UNKNOWN),
    ],
)
def test_a_service_is_judged_by_what_was_measured_and_by_its_age(
    changes: dict[str, object], level: Level
) -> None:
    assert replace(WELL, **changes).level is level  # type: ignore[arg-type] # one table for all fields


def test_shares_of_a_limit_need_a_limit() -> None:
    assert (WELL.cpu_of_limit, WELL.memory_of_limit) == (100.0, 25.0)
    free = replace(WELL, cpu_limit_cores=None, memory_limit_bytes=None)
    assert (free.cpu_of_limit, free.memory_of_limit) == (None, None)


def test_a_streak_stands_for_wall_clock_time() -> None:
    assert replace(WELL, health="unhealthy", failing_streak=397).unhealthy_s == 11_910
    assert WELL.unhealthy_s is None


def panel(*states: FeedState, reachable: bool = True) -> GatewayPanel:
    statuses = [
        GatewayStatus(slot=f"key-{number}", at=0.0, session="", feed=state, since=0.0)
        for number, state in enumerate(states)
    ]
    return GatewayPanel(reachable=reachable, statuses=tuple(statuses))


@pytest.mark.parametrize(
    ("states", "level"),
    [
        ([FeedState.LIVE], Level.OK),
        ([FeedState.CLOSED], Level.OK),
        ([FeedState.LIVE, FeedState.RECONNECTING], Level.WARNING),
        ([FeedState.STALE], Level.WARNING),
        ([FeedState.STALE, FeedState.PARKED], Level.CRITICAL),
        ([], Level.UNKNOWN),
    ],
)
def test_the_gateway_is_as_bad_as_its_worst_slot(states: list[FeedState], level: Level) -> None:
    assert panel(*states).level is level
    assert panel(*states, reachable=False).level is Level.UNKNOWN


def incident(severity: str) -> IncidentRow:
    return IncidentRow(
        number=1,
        title="x",
        severity=severity,
        severity_label="",
        state="detected",
        state_label="",
        services=(),
        opened_at=NOW,
        resolved_at=None,
        impact_started_at=None,
        lead="",
        is_open=True,
    )


def test_the_whole_is_the_worst_of_its_parts() -> None:
    well = Dashboard(now=NOW, services=(WELL,), gateway=panel(FeedState.LIVE), incidents=(), recent=())
    off = replace(WELL, state="gone")
    sick = replace(WELL, health="unhealthy")

    assert well.level is Level.OK
    assert replace(well, services=(WELL, off)).level is Level.OK
    assert replace(well, services=(WELL, sick)).level is Level.CRITICAL
    assert replace(well, services=()).level is Level.UNKNOWN
    assert replace(well, gateway=panel(reachable=False)).level is Level.UNKNOWN
    assert replace(well, incidents=(incident("warning"),)).level is Level.WARNING
    assert replace(well, incidents=(incident("critical"),)).level is Level.CRITICAL
