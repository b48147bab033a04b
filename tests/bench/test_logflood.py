"""The verdict of the log flood's figures: each limit can be missed on its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.logflood import CORES, GROWTH_MIB, MESSAGES, SWEEP_S, Figures, judge

GOOD = Figures(
    lines=600_000,
    lines_per_s=10_000.0,
    messages=1,
    incidents=1,
    cores=0.1,
    idle_cores=0.05,
    peak_mib=950.0,
    idle_mib=900.0,
    longest_between_sweeps_s=5.0,
    slowest_health_s=0.1,
    unready=0,
    foreign_cores=0.0,
)


def missed(**changes: Any) -> list[str]:
    return [what for what, _seen, met in judge(replace(GOOD, **changes), 10_000) if not met]


def test_good_figures_miss_nothing() -> None:
    assert missed() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"lines_per_s": 9_000.0},
        {"messages": MESSAGES + 1},
        {"messages": 0},
        {"incidents": 0},
        {"incidents": 2},
        {"cores": CORES},
        {"peak_mib": 900 + GROWTH_MIB},
        {"longest_between_sweeps_s": SWEEP_S + 0.1},
        {"unready": 1},
    ],
    ids=str,
)
def test_each_limit_is_judged_alone(changes: dict[str, float]) -> None:
    assert len(missed(**changes)) == 1
