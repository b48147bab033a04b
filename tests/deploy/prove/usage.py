"""Memory and processor time of every container of a deployment, as the Engine counts them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import docker

from tests.deploy.deployment import Deployment

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Usage:
    """One container: memory without the file cache, and processor time in per cent of a core."""

    memory_mib: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    memory: float
    cpu_s: float


def usage(one: Deployment, seconds: float) -> Mapping[str, Usage]:
    """Return the usage of each container over so many seconds, by its name without the project's."""
    with closing(docker.DockerClient(base_url=one.host, timeout=120)) as client:
        before = _read(client, one)
        time.sleep(seconds)
        after = _read(client, one)
    return {
        name: Usage(
            after[name].memory / MIB,
            100 * (after[name].cpu_s - first.cpu_s) / (after[name].at - first.at),
        )
        for name, first in sorted(before.items())
        if name in after
    }


def _read(client: docker.DockerClient, one: Deployment) -> Mapping[str, _Reading]:
    found = {}
    for container in one.all_containers():
        said: dict[str, Any] = client.api.stats(str(container.id), stream=False, one_shot=True)
        memory = said["memory_stats"]
        details = memory.get("stats", {})
        # Version 1 of control groups adds up with "total_"; what the kernel can drop at once is not counted.
        cache = details.get("total_inactive_file", details.get("inactive_file", 0))
        name = str(container.name).removeprefix(f"{one.project}_")
        cpu_s = said["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
        found[name] = _Reading(time.monotonic(), memory["usage"] - cache, cpu_s)
    return found
