"""A short run of everything that is measured on this project, and of each competitor that is installed."""

import os
import shutil

import pytest

from bench import scenarios
from bench.load import build
from bench.scenarios import Plan, Workload
from bench.systems import OTHERS, Bonghwa
from tests.require import require

pytestmark = [pytest.mark.slow, pytest.mark.timed]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Two short runs on the cores that there are."""
    require(shutil.which("cc") or shutil.which("gcc"), "C compiler")
    cores = sorted(os.sched_getaffinity(0))
    return Plan(
        program=build(tmp_path_factory.mktemp("generator")),
        server_core=cores[-1],
        load_core=cores[0],
        runs=2,
        warm_up=0.2,
        seconds=0.5,
        idle_clients=50,
        slow_after=12.0,
    )


def test_rows_published_on_the_bus_reach_every_client(plan):
    measured = scenarios.capacity(plan, Bonghwa(), Workload(20, 3))

    for sample in (measured.saturated, measured.half):
        assert sample.delivered > 1000
        assert (sample.wrong, sample.dead) == (0, 0)
        assert sample.server_cpu > 0
    assert measured.saturated.lost == 0
    assert measured.saturated.rows_per_frame > 1


def test_idle_connections_are_measured(plan):
    measured = scenarios.idle(plan)

    assert measured.connection_bytes > 0
    assert (measured.spread.lost, measured.spread.dead) == (0, 0)
    assert measured.spread.delivered >= 50 * 10


def test_rows_of_the_upstream_pass_through_the_gateway_process(plan):
    measured = scenarios.from_upstream(plan, Workload(10, 2), 500.0)

    assert measured.sample.lost == 0
    assert measured.sample.delivered > 1000
    assert measured.gateway_us > 0


def test_readers_that_stop_are_closed_as_too_slow(plan):
    measured = scenarios.stopped(plan, Workload(20, 1), 1, 80_000.0)

    assert (measured.stopped, measured.closed) == (1, 1)
    assert measured.during.lost == 0


@pytest.mark.parametrize("system", OTHERS, ids=lambda system: system.name)
def test_competitors_deliver_every_row(plan, system):
    reason = system.missing()
    require(not reason, f"{system.name} ({reason})")
    measured = scenarios.capacity(plan, system, Workload(10, 2))

    assert measured.saturated.delivered > 100
    assert (measured.saturated.lost, measured.saturated.wrong) == (0, 0)
