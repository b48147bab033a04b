"""What is missing before anything fails: checks of a container's *running* configuration. Pure.

A check says of a container that it is good, bad, or that it does not apply (``None``). The configuration is
what :func:`portal.monitoring.runtimes.docker_api.config` keeps of an inspection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from portal.monitoring.runtimes.docker_api import size_bytes

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

#: Restarts by the Engine since the container was created, from which an endless policy counts as a loop.
LOOP_RESTARTS = 3
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One running container: its name, allow-listed configuration, restarts, and memory in use (bytes)."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    memory_bytes: int | None = None

    def part(self, name: str) -> Mapping[str, Any]:
        """Return one section of the configuration, empty without it."""
        found = self.config.get(name)
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about a container, why it matters, and how to answer it well in a compose file."""

    key: str
    title: StrPromise
    good: StrPromise
    why: StrPromise
    ask: Callable[[Container], bool | None]
    seen: Callable[[Container], str]
    fix: Callable[[Container], str]
    measure: StrPromise


def _memory_limit(one: Container) -> bool:
    return bool(one.part("limits").get("memory_bytes"))


def _cpu_limit(one: Container) -> bool:
    return bool(one.part("limits").get("cpu_cores"))


def _rotation(one: Container) -> bool | None:
    options = one.part("log_options")
    driver = options.get("driver")
    if driver in ("local", "none"):  # the first rotates by itself, the second keeps nothing
        return True
    if driver != "json-file":
        return None
    return math.isfinite(size_bytes(str(options.get("max-size", ""))))


def _health_check(one: Container) -> bool:
    return bool(one.part("health_check").get("defined"))


def _timeout(one: Container) -> bool | None:
    check = one.part("health_check")
    if not check.get("defined"):
        return None
    return float(check.get("timeout_s") or 30) < float(check.get("interval_s") or 30)


def _restarts(one: Container) -> bool | None:
    policy = one.config.get("restart_policy")
    endless = policy in ("always", "unless-stopped") or (
        policy == "on-failure" and not one.config.get("restart_limit")
    )
    return one.restarts < LOOP_RESTARTS if endless else True


def _user(one: Container) -> bool | None:
    if "user" not in one.config:
        return None
    user = str(one.config["user"]).partition(":")[0]
    return user not in ("", "0", "root")


def _privileged(one: Container) -> bool | None:
    return None if "privileged" not in one.config else not one.config["privileged"]


def _socket(one: Container) -> bool | None:
    return None if "engine_socket" not in one.config else not one.config["engine_socket"]


def _compose(one: Container, *lines: str) -> str:
    """Return a piece of a compose file; a name that YAML might read otherwise is not repeated."""
    plain = one.name.replace("-", "").replace("_", "").replace(".", "")
    name = one.name if plain.isascii() and plain.isalnum() else "SERVICE"
    return "\n".join(["services:", f"  {name}:", *(f"    {line}" for line in lines)])


def _roomy(one: Container) -> str:
    """Return twice the memory in use, as the next power of two from 64 MiB on."""
    used = (one.memory_bytes or 128 * MIB) / MIB
    size = 2 ** max(6, math.ceil(math.log2(max(1.0, 2 * used))))
    return f"{size // 1024}g" if size >= 1024 else f"{size}m"


def _shown_timeout(one: Container) -> str:
    check = one.part("health_check")
    return f"timeout {check.get('timeout_s', 30):g} s, interval {check.get('interval_s', 30):g} s"


CHECKS: tuple[Check, ...] = (
    Check(
        key="memory_limit",
        title=_("Memory limit"),
        good=_("have a memory limit"),
        why=_("Without a limit a leak takes the whole host with it, and no percentage can warn of it."),
        ask=_memory_limit,
        seen=lambda one: "mem_limit: -",
        fix=lambda one: _compose(one, f"mem_limit: {_roomy(one)}"),
        measure=_("Give container %(name)s a memory limit"),
    ),
    Check(
        key="cpu_limit",
        title=_("CPU limit"),
        good=_("have a CPU limit"),
        why=_("Without a limit one hot loop slows down every other container of the host."),
        ask=_cpu_limit,
        seen=lambda one: "cpus: -",
        fix=lambda one: _compose(one, 'cpus: "1.0"'),
        measure=_("Give container %(name)s a CPU limit"),
    ),
    Check(
        key="log_rotation",
        title=_("Log rotation"),
        good=_("rotate their logs"),
        why=_(
            "Without rotation a log grows until the disk is full. "
            "A change takes effect when the container is made anew."
        ),
        ask=_rotation,
        seen=lambda one: f"{one.part('log_options').get('driver', '')}, max-size: -",
        fix=lambda one: _compose(
            one, "logging:", "  driver: json-file", "  options:", '    max-size: "10m"', '    max-file: "3"'
        ),
        measure=_("Rotate the log of container %(name)s"),
    ),
    Check(
        key="health_check",
        title=_("Health check"),
        good=_("have a health check"),
        why=_("Without one a container that hangs counts as running, and nobody is told."),
        ask=_health_check,
        seen=lambda one: "healthcheck: -",
        fix=lambda one: _compose(
            one,
            "healthcheck:",
            '  test: ["CMD", "wget", "-qO-", "http://127.0.0.1:8080/health"]',
            "  interval: 30s",
            "  timeout: 5s",
            "  retries: 3",
        ),
        measure=_("Give container %(name)s a health check"),
    ),
    Check(
        key="health_timeout",
        title=_("Health check's timeout"),
        good=_("have a timeout below the interval"),
        why=_("A check that may take as long as its interval reports a hang late, and checks pile up."),
        ask=_timeout,
        seen=_shown_timeout,
        fix=lambda one: _compose(one, "healthcheck:", "  interval: 30s", "  timeout: 5s"),
        measure=_("Set the health check's timeout of container %(name)s below its interval"),
    ),
    Check(
        key="restart_policy",
        title=_("Restart loop"),
        good=_("do not restart in a loop"),
        why=_(
            "A policy without a limit restarts a container that cannot live for ever and hides why it dies."
        ),
        ask=_restarts,
        seen=lambda one: f"restart: {one.config.get('restart_policy', '')}, {one.restarts} ×",
        fix=lambda one: _compose(one, 'restart: "on-failure:5"'),
        measure=_("Limit the restarts of container %(name)s and find out why it ends"),
    ),
    Check(
        key="root",
        title=_("User"),
        good=_("do not run as root"),
        why=_("Whoever breaks into a process that runs as root has a far shorter way to the host."),
        ask=_user,
        seen=lambda one: f"user: {one.config.get('user') or 'root'}",
        fix=lambda one: _compose(one, 'user: "1000:1000"', "security_opt:", "  - no-new-privileges:true"),
        measure=_("Run container %(name)s as a user other than root"),
    ),
    Check(
        key="privileged",
        title=_("Privileged mode"),
        good=_("are not privileged"),
        why=_("A privileged container is root on the host."),
        ask=_privileged,
        seen=lambda one: "privileged: true",
        fix=lambda one: _compose(one, "privileged: false", "cap_drop: [ALL]"),
        measure=_("Run container %(name)s without privileged mode"),
    ),
    Check(
        key="engine_socket",
        title=_("Docker socket"),
        good=_("have no Docker socket mounted"),
        why=_(
            "Whoever reaches the raw socket can start a container that owns the host. "
            "A socket proxy allows single calls."
        ),
        ask=_socket,
        seen=lambda one: "/var/run/docker.sock",
        fix=lambda one: _compose(
            one,
            "volumes: []  # without /var/run/docker.sock",
            "environment:",
            "  DOCKER_HOST: tcp://socket-proxy:2375",
        ),
        measure=_("Take the Docker socket out of container %(name)s"),
    ),
)
BY_KEY: Mapping[str, Check] = {check.key: check for check in CHECKS}


@dataclass(frozen=True, slots=True)
class Answer:
    """One check over all containers: those it finds bad, those it finds good."""

    check: Check
    bad: tuple[Container, ...]
    good: tuple[Container, ...]

    @property
    def asked(self) -> int:
        """Number of containers to which the check applies."""
        return len(self.bad) + len(self.good)


def answers(containers: Iterable[Container]) -> tuple[Answer, ...]:
    """Put every check to every container; checks that apply to none are left out."""
    listed = tuple(containers)
    found = []
    for check in CHECKS:
        told = [(one, check.ask(one)) for one in listed]
        bad = tuple(one for one, verdict in told if verdict is False)
        good = tuple(one for one, verdict in told if verdict is True)
        if bad or good:
            found.append(Answer(check, bad, good))
    return tuple(found)
