"""Verifiers of the checklist: what the *running* container has, not what a file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents.models import Outcome
from incidents.registry import Parameter, Verdict, Verifier
from portal.monitoring.models import RunState, RuntimeKind, Service
from portal.monitoring.posture import BY_KEY, Container
from portal.monitoring.runtimes.base import Inspection, RuntimeProblem, ServiceMissing
from portal.monitoring.runtimes.docker_api import size_bytes
from portal.operations.live import ask

METHOD = "docker inspect"
#: Seconds for one look.
LIMIT_S = 10.0
GIB = 1024**3
#: Names offered to choose from.
MAX_NAMES = 500


def limits(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check the CPU and memory limits of the running container ``target``."""
    seen = running(target)
    if isinstance(seen, Verdict):
        return seen
    try:
        most_cpus, most_memory = float(parameters["cpus"]), size_bytes(str(parameters["memory"]))
    except (KeyError, TypeError, ValueError) as error:
        return _unknown(_("the parameters are wrong: %(error)s") % {"error": error})
    cpus, memory = seen.cpu_limit_cores, seen.memory_limit_bytes
    shown_cpu = _("CPU %(cores)s core") % {"cores": cpus} if cpus else _("no CPU limit")
    shown_memory = _("memory %(gib).1f GiB") % {"gib": memory / GIB} if memory else _("no memory limit")
    good = bool(cpus and memory and cpus <= most_cpus and memory <= most_memory)
    return Verdict(Outcome.PASS if good else Outcome.FAIL, f"{shown_cpu}, {shown_memory}", METHOD)


def log_options(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check the log rotation of the running container ``target``."""
    seen = running(target)
    if isinstance(seen, Verdict):
        return seen
    options = seen.config["log_options"]
    driver, size, files = options["driver"], options.get("max-size"), options.get("max-file")
    if driver == "none":
        return Verdict(Outcome.PASS, _("log driver none keeps nothing"), METHOD)
    if driver not in ("json-file", "local"):
        return _unknown(_("log driver %(driver)s rotates elsewhere") % {"driver": driver})
    if driver == "local":  # the driver's own defaults: 20 MB x 5
        size, files = size or "20m", files or "5"
    try:
        most_size, most_files = size_bytes(str(parameters["max-size"])), int(parameters["max-file"])
        good = bool(size) and size_bytes(size) <= most_size and int(files or 1) <= most_files
    except (KeyError, TypeError, ValueError) as error:
        return _unknown(_("the parameters are wrong: %(error)s") % {"error": error})
    shown = f"{driver}, max-size {size}, max-file {files or 1}" if size else f"{driver}, " + _("no max-size")
    return Verdict(Outcome.PASS if good else Outcome.FAIL, shown, METHOD)


def health_check(target: str, _parameters: Mapping[str, Any]) -> Verdict:
    """Check that the running container ``target`` has a health check; how it answers is not asked."""
    seen = running(target)
    if isinstance(seen, Verdict):
        return seen
    check = BY_KEY["health_check"]
    one = Container(name=target, config=seen.config, restarts=seen.restart_count)
    if not check.ask(one):
        return Verdict(Outcome.FAIL, _("no health check"), METHOD)
    interval = one.part("health_check").get("interval_s") or 30
    shown = _("a health check each %(seconds)g s, now %(health)s")
    return Verdict(Outcome.PASS, shown % {"seconds": interval, "health": seen.health.status.label}, METHOD)


def container_names() -> list[str]:
    """Return the names of the containers that are watched."""
    watched = Service.objects.filter(runtime=RuntimeKind.DOCKER, enabled=True).order_by("name")
    return list(watched.values_list("name", flat=True)[:MAX_NAMES])


def running(target: str) -> Inspection | Verdict:
    """Return the inspection of the running container ``target``, or the verdict *unknown* with its reason."""
    if not target:
        return _unknown(_("no target service is set"))
    services = list(Service.objects.filter(name=target).order_by("runtime"))
    containers = [service for service in services if service.runtime == RuntimeKind.DOCKER]
    if not containers:
        if services:
            return _unknown(_("%(target)s is a local process, not a container") % {"target": target})
        return _unknown(_("no container named %(target)s is known") % {"target": target}, gone=True)
    try:
        seen = ask(containers[0], lambda runtime, runtime_id: runtime.inspect(runtime_id), LIMIT_S)
    except ServiceMissing:
        return _unknown(_("the container %(target)s is gone") % {"target": target}, gone=True)
    except RuntimeProblem as error:
        return _unknown(str(error))
    if seen.state not in (RunState.RUNNING, RunState.PAUSED, RunState.RESTARTING):
        return _unknown(_("the container %(target)s does not run") % {"target": target})
    return seen


def _unknown(reason: str, *, gone: bool = False) -> Verdict:
    return Verdict(Outcome.UNKNOWN, reason[:500], METHOD, gone=gone)


VERIFIERS = (
    Verifier(
        name="docker.limits",
        label=gettext_lazy("Container has CPU and memory limits"),
        help=gettext_lazy(
            "Passes when the running container is limited to at most this much. The target is the container."
        ),
        check=limits,
        defaults={"cpus": 1.0, "memory": "2g"},
        parameters=(
            Parameter(
                name="cpus", label=gettext_lazy("CPU at most (cores)"), kind="number", least=0.01, most=1024
            ),
            Parameter(
                name="memory", label=gettext_lazy("memory at most"), kind="size", help=gettext_lazy("e.g. 2g")
            ),
        ),
        targets=container_names,
        matches=(
            ("docker", "리소스 제한"),
            ("컨테이너", "리소스 제한"),
            ("docker", "resource limit"),
            ("container", "resource limit"),
            ("리소스 제한", "메모리"),
        ),
    ),
    Verifier(
        name="docker.log_options",
        label=gettext_lazy("Container rotates its logs"),
        help=gettext_lazy(
            "Passes when the running container's log driver keeps at most this much. The target "
            "is the container."
        ),
        check=log_options,
        defaults={"max-size": "10m", "max-file": 3},
        parameters=(
            Parameter(
                name="max-size",
                label=gettext_lazy("size of a file at most"),
                kind="size",
                help=gettext_lazy("e.g. 10m"),
            ),
            Parameter(
                name="max-file",
                label=gettext_lazy("number of files at most"),
                kind="integer",
                least=1,
                most=1000,
            ),
        ),
        targets=container_names,
        matches=(
            ("max-size",),
            ("로그 관리 정책",),
            ("로그 로테이션",),
            ("log rotation",),
            ("docker", "log options"),
        ),
    ),
    Verifier(
        name="docker.health_check",
        label=gettext_lazy("Container has a health check"),
        help=gettext_lazy(
            "Passes when the running container has a health check. The target is the container."
        ),
        check=health_check,
        matches=(("healthcheck",), ("health check",), ("헬스체크",), ("헬스 체크",), ("상태 점검",)),
        targets=container_names,
    ),
)
