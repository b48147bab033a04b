"""The Engine's JSON, read without an Engine."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from incidents.models import Incident
from portal.monitoring.models import Health, RunState
from portal.monitoring.runtimes import docker_api
from portal.monitoring.runtimes.base import Usage, cpu_percent

MIB = 1024 * 1024


def document(**state: Any) -> dict[str, Any]:
    """An inspection with what must never be kept, and ``state``."""
    return {
        "Image": "sha256:abc",
        "RestartCount": 4,
        "State": {
            "Status": "running",
            "StartedAt": "2026-02-06T00:00:00.123456789Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "ExitCode": 0,
            "OOMKilled": False,
        }
        | state,
        "Config": {
            "Image": "api:1",
            "Env": ["SECRET_KEY=hunter2", "PATH=/bin"],
            "Cmd": ["run", "--password", "hunter2"],
            "Labels": {"team": "a", "bonghwa.http": "http://127.0.0.1/"},
            "Healthcheck": {"Test": ["CMD", "false"], "Interval": 2_000_000_000, "Retries": 3},
        },
        "HostConfig": {
            "NanoCpus": 1_500_000_000,
            "Memory": 256 * MIB,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "secret-option": "x"}},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
            "Binds": ["/etc:/etc"],
        },
        "Mounts": [{"Source": "/root"}],
    }


@pytest.mark.parametrize(
    ("memory", "used"),
    [
        ({"usage": 100 * MIB, "stats": {"total_inactive_file": 30 * MIB, "inactive_file": 1}}, 70 * MIB),
        ({"usage": 100 * MIB, "stats": {"inactive_file": 40 * MIB}}, 60 * MIB),
        ({"usage": 100 * MIB}, 100 * MIB),
    ],
    ids=["cgroup v1", "cgroup v2", "no detail"],
)
def test_memory_is_without_page_cache(memory: dict[str, Any], used: int) -> None:
    stats = {
        "read": "2026-02-06T00:00:05.5Z",
        "cpu_stats": {"cpu_usage": {"total_usage": 3_000_000_000}},
        "memory_stats": memory,
    }
    usage = docker_api.usage(stats, None)
    assert (usage.memory_bytes, usage.cpu_s) == (used, 3.0)
    assert usage.at == datetime(2026, 2, 6, 0, 0, 5, 500_000, tzinfo=UTC)


def test_long_names_fit_behind_what_is_put_before_them_and_stay_two() -> None:
    pod = "/k8s_shop_" + "shop-7d9c5b8f4d-" * 20
    first, second = (docker_api.container_name(f"{pod}{number}") for number in (0, 1))

    assert docker_api.container_name("/api-gateway") == "api-gateway"
    assert first != second
    fingerprint = Incident._meta.get_field("fingerprint").max_length
    assert fingerprint is not None
    assert len(f"service:docker:{first}") <= fingerprint


def test_a_container_without_counters_has_no_usage() -> None:
    with pytest.raises(ValueError, match="no counters"):
        docker_api.usage({"read": "0001-01-01T00:00:00Z", "memory_stats": {}}, None)


def test_only_allow_listed_fields_are_kept() -> None:
    kept = docker_api.inspection(document()).config
    assert "hunter2" not in str(kept)
    assert "/root" not in str(kept)
    assert kept["env_names"] == ["PATH", "SECRET_KEY"]
    assert kept["limits"] == {
        "cpu_cores": 1.5,
        "memory_bytes": 256 * MIB,
        "memory_swap_bytes": None,
        "pids": None,
    }
    assert kept["log_options"] == {"driver": "json-file", "max-size": "10m"}
    assert (kept["restart_policy"], kept["restart_limit"]) == ("on-failure", 5)
    assert (kept["user"], kept["privileged"], kept["engine_socket"]) == ("", False, False)


def test_a_mounted_engine_socket_is_told_and_its_path_is_not_kept() -> None:
    mounts = [
        {"Source": "/data", "Destination": "/data"},
        {"Source": "/run/x/docker.sock", "Destination": "/d"},
    ]
    kept = docker_api.config(document() | {"Mounts": mounts})
    assert kept["engine_socket"] is True
    assert "/run/x" not in str(kept)


def test_a_quota_is_a_cpu_limit_too() -> None:
    assert docker_api.cpu_limit({"CpuQuota": 50_000, "CpuPeriod": 100_000}) == 0.5
    assert docker_api.cpu_limit({"CpuQuota": -1}) is None


def test_the_health_state_has_its_streak_and_last_output() -> None:
    health = {
        "Status": "unhealthy",
        "FailingStreak": 397,
        "Log": [{"End": "2026-02-06T00:00:00Z", "ExitCode": 1, "Output": "\x1b[31mtimeout\x1b[0m\n"}],
    }
    seen = docker_api.inspection(document(Health=health)).health
    assert (seen.status, seen.failing_streak, seen.interval_s) == (Health.UNHEALTHY, 397, 2.0)
    assert seen.output == "timeout\n"


def test_a_stopped_container_has_no_health() -> None:
    health = {"Status": "unhealthy", "FailingStreak": 3}
    seen = docker_api.inspection(document(Status="exited", ExitCode=137, Health=health))
    assert (seen.state, seen.exit_code, seen.health.status) == (RunState.EXITED, 137, Health.NONE)


def test_labels_are_bounded_and_ours_come_first() -> None:
    many = {f"label-{n:03}": "x" * 1000 for n in range(500)} | {"zz": "1", "bonghwa.ws": "ws://127.0.0.1/"}
    kept = docker_api.labels(many)
    assert len(kept) == docker_api.MAX_LABELS
    assert next(iter(kept)) == "bonghwa.ws"
    assert max(map(len, kept.values())) == docker_api.MAX_LABEL


@pytest.mark.parametrize(
    ("text", "size"),
    [("10m", 10 * MIB), ("1.5g", 1.5 * 1024 * MIB), ("512", 512), ("2GiB", 2048 * MIB), ("-1", math.inf)],
)
def test_sizes_are_read_as_docker_writes_them(text: str, size: float) -> None:
    assert docker_api.size_bytes(text) == size


def usage(second: float, cpu_s: float, started: float | None = 0) -> Usage:
    """A sample at ``second`` of the test's hour."""
    base = datetime(2026, 2, 6, tzinfo=UTC).timestamp()
    return Usage(
        at=datetime.fromtimestamp(base + second, UTC),
        cpu_s=cpu_s,
        memory_bytes=0,
        started_at=None if started is None else datetime.fromtimestamp(base + started, UTC),
    )


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        (usage(100, 50), usage(105, 55), 100.0),
        (usage(100, 50), usage(105, 50), 0.0),
        (None, usage(10, 5), 50.0),  # young enough for its mean since the start
        (None, usage(1000, 5), None),
        (None, usage(10, 5, None), None),
        (usage(100, 50), usage(105, 2, 101), 50.0),  # restarted meanwhile
        (usage(100, 50), usage(100, 50), None),
    ],
)
def test_cpu_comes_from_two_samples(before: Usage | None, after: Usage, percent: float | None) -> None:
    assert cpu_percent(before, after) == percent
