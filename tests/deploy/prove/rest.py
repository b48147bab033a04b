"""A deployment at rest: how long it takes to come up, what it holds, and whether its own posture is good."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.conditions import wait_until
from tests.deploy.deployment import RUNNING, Deployment, bring_up
from tests.deploy.prove import sizes
from tests.deploy.prove.table import Line
from tests.deploy.prove.usage import usage

PART = "rest"
#: Seconds until every service is healthy, on a machine that has nothing else to do.
HEALTHY_S = 120.0
JUDGED_WITHIN_S = 120.0
#: Two periods of the slowest health check and of the beat's tasks.
LOOK_S = 60.0


def start(one: Deployment, slack: float) -> Iterator[Line]:
    """Bring it up in one go."""
    began = time.monotonic()
    bring_up(one)
    took = time.monotonic() - began
    promise = HEALTHY_S * slack
    yield Line(
        PART,
        "docker-compose up -d until all are healthy",
        f"{took:.0f} s",
        f"≤ {promise:g} s",
        took <= promise,
    )


def play(one: Deployment) -> Iterator[Line]:
    """Read its posture, then what its containers use while nobody uses it."""
    found = wait_until(
        lambda: (seen := one.posture())["good"].get("memory_limit", 0) >= len(RUNNING) and seen,
        JUDGED_WITHIN_S,
        "every container is judged",
        2,
    )
    bad = [*found["bad"], *found["unknown"]]
    yield Line(PART, "findings of the posture page about containers", str(bad or 0), "0", not bad)
    seen = usage(one, LOOK_S)
    for name, used in seen.items():
        yield Line(PART, f"{name}", f"{used.memory_mib:6.1f} MiB  {used.cpu_percent:5.1f} % of a core")
    memory = sum(used.memory_mib for used in seen.values())
    cpu = sum(used.cpu_percent for used in seen.values())
    yield Line(PART, f"all {len(seen)} containers", f"{memory:6.1f} MiB  {cpu:5.1f} % of a core")
    yield from sizes.play(one)
