"""The faults: how each one's container is started, broken and repaired, and what its rule promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from docker.models.containers import Container

from tests.monitoring.certificates import HOST
from tests.proof.world import RESOLVE_AFTER_S, World

#: What a message at the latest needs on top of a rule's own time.
GRACE_S = 30
#: Closing by the rule (samples of a sweep each), the resolve window, and a sweep of each part of the chain.
CLOSE_S = 60
#: An endpoint's own interval: the longest time until a probe sees the fault.
PROBE_INTERVAL_S = 60
#: Windows of the rules about memory in a short run; the shipped ones are 30 and 10 minutes.
SHORT_WINDOW_S = 120
#: A leak goes on for so many seconds longer than its rule's window: to be found well first, and to be told.
LEFT_S = 600
GROWING, RUNS_OUT = "memory-growing", "memory-runs-out"
HEALTHY = tuple(f"proof-healthy-{number}" for number in range(1, 10))

Start = Callable[[World, str], object]
Act = Callable[[World, Container], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one container. ``target_s`` from injection to incident, ``repaired_s`` from repair on.

    ``heavy`` ones take a core and come one after the other; the others begin together. ``rule`` is set for
    those whose time is a rule's own window.
    """

    key: str
    title: str
    start: Start
    inject: Act
    repair: Act
    target_s: float
    repaired_s: float = RESOLVE_AFTER_S + CLOSE_S
    heavy: bool = False
    rule: str = ""

    @property
    def name(self) -> str:
        """The container's name."""
        return f"proof-{self.key}"

    def stretched(self, slack: float) -> Fault:
        """Return it with so many times as much time."""
        return replace(self, target_s=self.target_s * slack, repaired_s=self.repaired_s * slack)


def begin(_world: World, container: Container) -> None:
    """Tell the program to fail."""
    container.kill(signal="SIGUSR1")


def restart(_world: World, container: Container) -> None:
    """``docker restart``: the program begins anew, and well."""
    container.restart(timeout=2)


def _leak(mib_per_min: float, mib: float, window_s: float) -> dict[str, str]:
    """Return the environment of a leak that goes on for as long as its rule looks, and ends soon after."""
    return {
        "PROOF_LEAK_MIB_PER_MIN": f"{mib_per_min:g}",
        "PROOF_LEAK_MIB": f"{mib:.0f}",
        "PROOF_SECONDS": f"{window_s + LEFT_S:.0f}",
    }


def catalogue(windows: dict[str, float]) -> Sequence[Fault]:
    """Return every fault; ``windows`` are the seconds over which the rules about memory look."""
    return [*_loud(), *_of_memory(windows[GROWING], windows[RUNS_OUT]), *_of_service()]


def _loud() -> Sequence[Fault]:
    return [
        Fault(
            key="hot-loop",
            title="hot retry loop, health check fails",
            start=lambda world, name: world.run(name, "hot-loop", check_s=5, patience_s=2),
            inject=begin, repair=restart, target_s=60, heavy=True,
        ),
        Fault(
            key="log-flood",
            title="log flood, 10,000 lines/s",
            start=lambda world, name: world.run(name, "flood", log_config=_small_log()),
            inject=begin, repair=restart, target_s=60, heavy=True,
        ),
    ]  # fmt: skip


def _of_memory(growing: float, runs_out: float) -> Sequence[Fault]:
    rate = 60.0
    unlimited = _leak(rate, rate * (growing / 60 + 4), growing)
    limit = rate * runs_out / 60 * 1.6
    limited = _leak(rate, limit * 0.85, runs_out)
    return [
        Fault(
            key="leak",
            title="memory leak without a limit",
            start=lambda world, name: world.run(name, "leak", environment=unlimited),
            inject=begin, repair=restart, target_s=growing + GRACE_S, rule=GROWING,
            repaired_s=growing + GRACE_S + RESOLVE_AFTER_S + CLOSE_S,
        ),
        Fault(
            key="leak-limited",
            title="memory leak with a limit",
            start=lambda world, name: world.run(
                name, "leak", environment=limited, mem_limit=f"{limit:.0f}m", memswap_limit=f"{limit:.0f}m"
            ),
            inject=begin, repair=restart, target_s=runs_out + GRACE_S, rule=RUNS_OUT,
            repaired_s=runs_out + GRACE_S + RESOLVE_AFTER_S + CLOSE_S,
        ),
        Fault(
            key="oom",
            title="OOM kill",
            start=lambda world, name: world.run(name, "oom", mem_limit="64m", memswap_limit="64m"),
            inject=begin, repair=_replace("dead-port"), target_s=60, repaired_s=RESOLVE_AFTER_S + 2 * CLOSE_S,
        ),
    ]  # fmt: skip


def _of_service() -> Sequence[Fault]:
    """Return what stops, hangs or answers wrongly."""
    return [
        Fault(
            key="crash-loop",
            title="crash loop",
            start=lambda world, name: world.run(name, "crash", restart_policy={"Name": "always"}),
            inject=begin, repair=_replace("dead-port"), target_s=60, repaired_s=RESOLVE_AFTER_S + 2 * CLOSE_S,
        ),
        Fault(
            key="hung-check",
            title="hung health check",
            start=lambda world, name: world.run(name, "hang", check_s=5, patience_s=2),
            inject=begin, repair=restart, target_s=60,
        ),
        Fault(
            key="paused",
            title="container paused",
            start=lambda world, name: world.run(name, "dead-port"),
            inject=lambda _world, container: container.pause(),
            repair=lambda _world, container: container.unpause(), target_s=60,
        ),
        Fault(
            key="dead-port",
            title="dead HTTP port",
            start=lambda world, name: world.run(name, "dead-port", probe="http"),
            inject=begin, repair=restart, target_s=90,
        ),
        Fault(
            key="mute-websocket",
            title="WebSocket accepts, never speaks",
            start=lambda world, name: world.run(name, "websocket", probe="ws"),
            inject=begin, repair=restart, target_s=90,
        ),
        Fault(
            key="certificate",
            title="expired certificate",
            start=_serve_tls, inject=begin, repair=restart, target_s=PROBE_INTERVAL_S + GRACE_S,
        ),
    ]  # fmt: skip


def _small_log() -> dict[str, object]:
    """Rotate at 10 MiB: a flood of a minute must not fill the disk."""
    return {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}}


def _replace(mode: str) -> Act:
    """Deploy a fixed version: another container takes the name."""

    def repair(world: World, container: Container) -> None:
        world.run(str(container.name), mode)

    return repair


def _serve_tls(world: World, name: str) -> None:
    pems = {
        "PROOF_VALID": world.authority.issue(HOST, days=(-1, 90)),
        "PROOF_EXPIRED": world.authority.issue(HOST, days=(-90, -1)),
    }
    environment = {variable: Path(pem).read_text() for variable, pem in pems.items()}
    world.run(name, "tls", probe="tls", environment=environment)


def start_healthy(world: World) -> None:
    """Start nine containers that are well: with and without limits, checks, endpoints."""
    first, second, third, *shells = HEALTHY
    world.run(first, "http", probe="http", check_s=15, mem_limit="128m")
    world.run(second, "websocket", probe="ws", nano_cpus=500_000_000)
    world.run(third, "http", check_s=15)
    for number, name in enumerate(shells):
        script = 'n=0; while :; do n=$((n+1)); echo "INFO request $n served"; sleep 1; done'
        limit = "32m" if number % 2 else None
        world.run_shell(name, script, check="true" if number % 3 else "", mem_limit=limit)
