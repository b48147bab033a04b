"""Counters of one-shot samples: the shapes of cgroup v1 and v2, and what really flows on this machine."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from portal.monitoring.collector import sweep
from portal.monitoring.models import ServiceState
from portal.monitoring.runtimes import docker_api
from portal.monitoring.runtimes.base import Rates, Usage, rates
from tests.conditions import wait_until
from tests.monitoring.labs import docker_lab, process_lab
from tests.monitoring.stage import Stage, ended
from tests.require import require

#: The example of the Engine's API reference, as an Engine on cgroup v1 answers.
CGROUP_V1: dict[str, Any] = {
    "read": "2015-01-08T22:57:31.547920715Z",
    "pids_stats": {"current": 3},
    "networks": {"eth0": {"rx_bytes": 5338, "tx_bytes": 648}, "eth5": {"rx_bytes": 4641, "tx_bytes": 690}},
    "memory_stats": {
        "stats": {"cache": 2_000_000, "inactive_file": 1_000_000, "total_inactive_file": 1_500_000},
        "max_usage": 6651904,
        "usage": 6537216,
        "failcnt": 0,
        "limit": 67108864,
    },
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "Read", "value": 4096},
            {"major": 8, "minor": 0, "op": "Write", "value": 8192},
            {"major": 8, "minor": 0, "op": "Sync", "value": 12288},
            {"major": 8, "minor": 0, "op": "Async", "value": 0},
            {"major": 8, "minor": 0, "op": "Total", "value": 12288},
            {"major": 8, "minor": 16, "op": "Read", "value": 100},
        ]
    },
    "cpu_stats": {
        "cpu_usage": {
            "percpu_usage": [8646879, 24472255, 36438778, 30657443],
            "usage_in_usermode": 50000000,
            "total_usage": 100215355,
            "usage_in_kernelmode": 30000000,
        },
        "system_cpu_usage": 739306590000000,
    },
}
#: The same of an Engine on cgroup v2: no usage by core, other names of memory, small letters.
CGROUP_V2: dict[str, Any] = {
    "read": "2025-01-16T13:55:22.165243637Z",
    "pids_stats": {"current": 3, "limit": 18446744073709551615},
    "networks": {"eth0": {"rx_bytes": 5338, "tx_bytes": 648}},
    "memory_stats": {
        "usage": 6537216,
        "stats": {"active_anon": 0, "anon": 3_000_000, "file": 2_000_000, "inactive_file": 1_500_000},
        "limit": 67108864,
    },
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 254, "minor": 0, "op": "read", "value": 7593984},
            {"major": 254, "minor": 0, "op": "write", "value": 100},
        ],
        "io_serviced_recursive": None,
    },
    "cpu_stats": {
        "cpu_usage": {"total_usage": 100215355, "usage_in_usermode": 50000000},
        "system_cpu_usage": 739306590000000,
        "online_cpus": 4,
    },
}


@pytest.mark.parametrize(
    ("stats", "network", "block"),
    [(CGROUP_V1, (9979, 1338), (4196, 8192)), (CGROUP_V2, (5338, 648), (7593984, 100))],
    ids=["cgroup v1", "cgroup v2"],
)
def test_every_counter_is_read_of_both_versions(
    stats: dict[str, Any], network: tuple[int, int], block: tuple[int, int]
) -> None:
    usage = docker_api.usage(stats, None)
    assert (usage.network_rx_bytes, usage.network_tx_bytes) == network
    assert (usage.block_read_bytes, usage.block_write_bytes) == block
    assert (usage.memory_bytes, usage.pids, usage.host_cores) == (5037216, 3, 4)
    assert math.isclose(usage.cpu_s, 0.100215355)


def test_what_an_engine_does_not_count_is_no_data_rather_than_zero() -> None:
    bare = {"read": CGROUP_V2["read"], "memory_stats": {"usage": 5}, "blkio_stats": {}}
    usage = docker_api.usage(bare, None)
    assert (usage.network_rx_bytes, usage.block_read_bytes, usage.pids, usage.host_cores) == (None,) * 4


def test_a_cache_larger_than_the_usage_is_not_taken_off() -> None:
    odd = CGROUP_V2 | {"memory_stats": {"usage": 5, "stats": {"inactive_file": 6}}}
    assert docker_api.usage(odd, None).memory_bytes == 5


def test_rates_come_from_two_samples_of_one_run() -> None:
    at = datetime(2026, 2, 6, tzinfo=UTC)
    first = Usage(at=at, cpu_s=0, memory_bytes=0, started_at=at, network_rx_bytes=100, block_read_bytes=0)
    second = replace(first, at=at + timedelta(seconds=5), network_rx_bytes=1100, block_read_bytes=None)
    assert rates(first, second) == Rates(network_rx=200.0)
    assert rates(None, second) == Rates()
    assert rates(first, replace(second, started_at=at + timedelta(seconds=1))) == Rates()
    assert rates(first, replace(second, network_rx_bytes=99)) == Rates()
    assert rates(first, replace(second, at=at)) == Rates()


def test_cpu_is_told_per_host_too() -> None:
    assert ServiceState(cpu_percent=102.8, host_cores=16).cpu_of_host == pytest.approx(6.4, abs=0.05)
    assert ServiceState(cpu_percent=102.8).cpu_of_host is None


IDLE = "sleep 60 & while true; do sleep 1; done"


@pytest.mark.docker
def test_processes_and_cores_of_a_container_are_measured(docker_host: str, busybox_image: str) -> None:
    with docker_lab(docker_host, busybox_image) as lab:
        usage = lab.runtime().sample(lab.start(IDLE))
    assert (usage.pids or 0) >= 1
    assert usage.host_cores


PING = """
gate=$(ip route | sed -n 's/^default via \\([0-9.]*\\).*/\\1/p')
while true; do ping -c 1 -s 1000 -w 1 $gate > /dev/null; sleep 0.1; done
"""


@pytest.mark.docker
def test_network_of_a_container_is_measured(docker_host: str, busybox_image: str) -> None:
    with docker_lab(docker_host, busybox_image) as lab:
        talker, memory = lab.start(PING), dict[str, Any]()
        require(lab.runtime().sample(talker).network_rx_bytes is not None, "an Engine with a bridge")

        def seen() -> bool:
            readings = {one.found.runtime_id: one.rates for one in sweep(lab.runtime(), memory).readings}
            flow = readings[talker]
            return flow is not None and (flow.network_rx or 0) > 500 and (flow.network_tx or 0) > 500

        wait_until(seen, 30, "traffic in both directions", every=1)


def test_processes_and_counters_of_a_process_are_measured() -> None:
    with process_lab() as lab:
        busy = lab.start(IDLE)
        usage = wait_until(lambda: (now := lab.runtime().sample(busy)).pids and now.pids > 1 and now)
    assert usage
    assert usage.host_cores == psutil.cpu_count()
    assert None not in (usage.block_read_bytes, usage.block_write_bytes)


@pytest.mark.django_db
def test_rates_and_processes_are_stored_and_leave_with_the_run() -> None:
    stage = Stage()
    usage = Usage(at=stage.at, cpu_s=1, memory_bytes=1, host_cores=4, pids=7)
    flow = Rates(network_rx=10.0, network_tx=20.0, block_read=30.0, block_write=40.0)
    names = ("pids", "network_rx_bytes_per_s", "block_write_bytes_per_s")
    stage.sweep(usage=usage, rates=flow, recent_restarts=2)
    state = ServiceState.objects.get()
    assert [getattr(state, name) for name in names] == [7, 10.0, 40.0]
    assert (state.host_cores, state.recent_restarts) == (4, 2)
    stage.sweep(ended(1, on_purpose=False))
    state = ServiceState.objects.get()
    assert [getattr(state, name) for name in names] == [None, None, None]


def test_starts_and_ends_of_processes_are_events_too() -> None:
    with process_lab() as lab:
        began = datetime.now(UTC)
        crashed, stopped = lab.start("exit 4"), lab.start("while true; do sleep 1; done")
        lab.stop(stopped)
        runtime = lab.runtime()
        wait_until(lambda: runtime.inspect(crashed).exit_code == 4)
        window = runtime.events(began, datetime.now(UTC) + timedelta(seconds=1))
        again = runtime.events(began, datetime.now(UTC) + timedelta(seconds=1))

    told = {(one.name, one.action, one.exit_code, one.on_purpose) for one in window.events}
    assert {(crashed, "start", None, None), (crashed, "die", 4, False)} <= told
    assert (stopped, "start", None, None) in told
    assert [one.on_purpose for one in window.events if (one.name, one.action) == (stopped, "die")] == [True]
    assert [one.key for one in again.events] == [one.key for one in window.events]
