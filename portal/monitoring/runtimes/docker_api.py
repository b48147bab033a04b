"""Readings from the Engine's JSON: pure, so that cgroup versions and odd Engines are test tables."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from portal.monitoring.logs import clean
from portal.monitoring.masking import mask_secrets
from portal.monitoring.models import Health, RunState
from portal.monitoring.runtimes.base import MAX_OUTPUT, HealthCheck, HealthReading, Inspection, Usage

#: Health checks kept of an inspection (the Engine itself keeps five).
MAX_HEALTH_LOG = 5
#: Characters of a name: what is put before it must fit into 200 too.
MAX_NAME = 180
MAX_LABELS = 50
MAX_LABEL = 300
MAX_ENV = 200
MAX_MOUNTS = 500

_STATES = {
    "running": RunState.RUNNING,
    "restarting": RunState.RESTARTING,
    "paused": RunState.PAUSED,
    "exited": RunState.EXITED,
    "dead": RunState.EXITED,
    "created": RunState.EXITED,
    "removing": RunState.GONE,
}
_SECRET_NAME = re.compile(
    r"passw|passphrase|\wpwd|secret|token|credential|api[._-]?key|private[._-]?key|basicauth", re.I
)
_TIME = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$")


def container_name(raw: str) -> str:
    """Return the name without its slash; one longer than ``MAX_NAME`` ends in a hash, so that two stay two.

    Kubernetes' ``k8s_CONTAINER_POD_NAMESPACE_UID_N`` is often that long.
    """
    name = clean(raw.removeprefix("/"))
    if len(name) <= MAX_NAME:
        return name
    return f"{name[: MAX_NAME - 9]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def run_state(status: str) -> RunState:
    """Translate the Engine's status word."""
    return _STATES.get(status, RunState.UNKNOWN)


def moment(text: str | None) -> datetime | None:
    """Read the Engine's RFC 3339 time with nanoseconds; its zero time is ``None``."""
    match = _TIME.match(text or "")
    if not match or match[1].startswith("0001-"):
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(f"{match[1]}.{(match[2] or '0')[:6]:0<6}{zone}").astimezone(UTC)


def labels(raw: Mapping[str, Any] | None) -> dict[str, str]:
    """Return at most ``MAX_LABELS`` labels, ours first, each cleaned, masked and cut to ``MAX_LABEL``.

    Our own are not masked: an address in them is used, not only shown.
    """
    ordered = sorted((raw or {}).items(), key=lambda item: (not item[0].startswith("bonghwa."), item[0]))
    kept = {clean(key)[:MAX_LABEL]: clean(str(value)[: 4 * MAX_LABEL]) for key, value in ordered[:MAX_LABELS]}
    return {
        key: (value if key.startswith("bonghwa.") else _masked_label(key, value))[:MAX_LABEL]
        for key, value in kept.items()
    }


def _masked_label(key: str, value: str) -> str:
    """Mask a value by its own shape and by its label's name."""
    return mask_secrets(f"{key}={value}").partition("=")[2] if "=" not in key else mask_secrets(value)


def usage(stats: Mapping[str, Any], started_at: datetime | None) -> Usage:
    """Return counters from a one-shot ``stats`` answer of cgroup v1 or v2.

    Raises:
        ValueError: the container has no counters (it is not running).
    """
    at = moment(stats.get("read"))
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    memory = stats.get("memory_stats") or {}
    if at is None or "usage" not in memory:
        raise ValueError("the container has no counters")
    detail = memory.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    return Usage(
        at=at,
        cpu_s=cpu.get("total_usage", 0) / 1e9,
        memory_bytes=memory["usage"] - cache if 0 <= cache < memory["usage"] else memory["usage"],
        started_at=started_at,
        host_cores=_cores(stats.get("cpu_stats") or {}),
        network_rx_bytes=_network(stats, "rx_bytes"),
        network_tx_bytes=_network(stats, "tx_bytes"),
        block_read_bytes=_block(stats, "read"),
        block_write_bytes=_block(stats, "write"),
        pids=(stats.get("pids_stats") or {}).get("current"),
    )


def _cores(cpu: Mapping[str, Any]) -> int | None:
    """Return the host's cores; an Engine that does not tell ``online_cpus`` lists usage for each (v1)."""
    counted = len((cpu.get("cpu_usage") or {}).get("percpu_usage") or ())
    return int(cpu.get("online_cpus") or counted) or None


def _network(stats: Mapping[str, Any], counter: str) -> int | None:
    """Return a counter of all interfaces; a container in its host's network has none."""
    networks = stats.get("networks")
    return sum(int(one.get(counter, 0)) for one in networks.values()) if networks else None


def _block(stats: Mapping[str, Any], operation: str) -> int | None:
    """Return bytes of all devices; cgroup v1 writes ``Read``, v2 ``read``; an idle container has no list."""
    entries = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive")
    if entries is None:
        return None
    return sum(int(one.get("value", 0)) for one in entries if str(one.get("op", "")).lower() == operation)


def health(document: Mapping[str, Any]) -> HealthReading:
    """Return the health state of an inspection; only a running container has one."""
    state = document.get("State") or {}
    raw = state.get("Health")
    configured = (document.get("Config") or {}).get("Healthcheck") or {}
    interval = (configured.get("Interval") or 30e9) / 1e9
    if not raw or raw.get("Status") in (None, "none") or state.get("Status") not in ("running", "paused"):
        return HealthReading()
    log = [
        HealthCheck(
            at=moment(entry.get("End")) or moment(entry.get("Start")) or datetime.now(UTC),
            exit_code=int(entry.get("ExitCode", -1)),
            output=clean(str(entry.get("Output", ""))[: 2 * MAX_OUTPUT])[:MAX_OUTPUT],
        )
        for entry in (raw.get("Log") or [])[-MAX_HEALTH_LOG:]
    ]
    status = raw["Status"]
    return HealthReading(
        status=Health(status) if status in Health.values else Health.NONE,
        failing_streak=int(raw.get("FailingStreak") or 0),
        interval_s=interval,
        log=log,
    )


def cpu_limit(host: Mapping[str, Any]) -> float | None:
    """Return the CPU limit in cores from a ``HostConfig``, ``None`` without one."""
    if nano := host.get("NanoCpus") or 0:
        return float(nano) / 1e9
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 100_000
    return quota / period if quota > 0 else None


def config(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the allow-listed configuration: never an environment value, a mount or a command."""
    settings = document.get("Config") or {}
    host = document.get("HostConfig") or {}
    check = settings.get("Healthcheck") or {}
    logs = host.get("LogConfig") or {}
    policy = host.get("RestartPolicy") or {}
    options = {str(key)[:50]: str(value)[:100] for key, value in (logs.get("Config") or {}).items()}
    return {
        "image": clean(str(settings.get("Image", "")))[:300],
        "image_id": str(document.get("Image", ""))[:100],
        "limits": {
            "cpu_cores": cpu_limit(host),
            "memory_bytes": host.get("Memory") or None,
            "memory_swap_bytes": host.get("MemorySwap") or None,
            "pids": host.get("PidsLimit") or None,
        },
        "log_options": {
            "driver": logs.get("Type", ""),
            **{key: options[key] for key in ("max-size", "max-file", "mode", "compress") if key in options},
        },
        "health_check": {
            "defined": bool(check.get("Test")) and check.get("Test") != ["NONE"],
            "interval_s": (check.get("Interval") or 30e9) / 1e9,
            "timeout_s": (check.get("Timeout") or 30e9) / 1e9,
            "retries": check.get("Retries") or 3,
            "start_period_s": (check.get("StartPeriod") or 0) / 1e9,
        },
        "restart_policy": policy.get("Name") or "no",
        "restart_limit": policy.get("MaximumRetryCount") or None,
        "user": clean(str(settings.get("User") or ""))[:100],
        "privileged": bool(host.get("Privileged")),
        "engine_socket": _has_engine_socket(document),
        "env_names": sorted(
            clean(entry.partition("=")[0])[:100] for entry in (settings.get("Env") or [])[:MAX_ENV]
        ),
        "labels": _masked(labels(settings.get("Labels"))),
    }


def _masked(given: Mapping[str, str]) -> dict[str, str]:
    """Mask secrets in labels by their own name and by what they look like."""
    return {
        key: "[secret]" if _SECRET_NAME.search(key) else mask_secrets(value) for key, value in given.items()
    }


def _has_engine_socket(document: Mapping[str, Any]) -> bool:
    """Whether a Docker socket is mounted; which mounts there are is not kept."""
    mounts = (document.get("Mounts") or [])[:MAX_MOUNTS]
    return any(
        str(mount.get(end, "")).endswith("/docker.sock")
        for mount in mounts
        for end in ("Source", "Destination")
    )


def inspection(document: Mapping[str, Any]) -> Inspection:
    """Return what is kept of an ``inspect`` answer; ``stopped_on_purpose`` is left to the caller."""
    state = document.get("State") or {}
    host = document.get("HostConfig") or {}
    status = run_state(state.get("Status", ""))
    ended = status in (RunState.EXITED, RunState.RESTARTING)
    code = state.get("ExitCode")
    return Inspection(
        state=status,
        health=health(document),
        started_at=moment(state.get("StartedAt")),
        finished_at=moment(state.get("FinishedAt")),
        exit_code=code if ended and state.get("Status") != "created" else None,
        oom_killed=bool(state.get("OOMKilled")),
        restart_count=int(document.get("RestartCount") or 0),
        cpu_limit_cores=cpu_limit(host),
        memory_limit_bytes=host.get("Memory") or None,
        config=config(document),
    )


def size_bytes(text: str) -> float:
    """Return a Docker log size such as ``10m`` or ``1.5g`` in bytes; ``-1`` and garbage are unlimited."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip().lower())
    if not match:
        return math.inf
    return float(match[1]) * float(1024 ** " kmgt".index(match[2] or " "))
