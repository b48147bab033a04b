"""Opens the runtimes that the settings name."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from portal.monitoring import store
from portal.monitoring.models import RunState, RuntimeKind, Service
from portal.monitoring.runtimes.base import Runtime
from portal.monitoring.runtimes.docker import DEFAULT_SOCKET, DockerRuntime
from portal.monitoring.runtimes.process import ProcessRuntime


def is_used(kind: RuntimeKind) -> bool:
    """Whether ``kind`` has to be swept: it is configured, it is there, or services of it are known.

    The last keeps a dead Engine's services visible as unknown (a query).
    """
    there = {
        RuntimeKind.DOCKER: bool(settings.DOCKER_HOST) or DEFAULT_SOCKET.exists(),
        RuntimeKind.PROCESS: (settings.DATA_DIR / "supervisor.sock").exists(),
    }
    return there[kind] or Service.objects.filter(runtime=kind).exclude(state__state=RunState.GONE).exists()


@contextmanager
def opened(kind: RuntimeKind, memory: MutableMapping[str, Any] | None = None) -> Iterator[Runtime]:
    """Yield the configured runtime of ``kind``; ``memory`` is what it keeps between uses."""
    kept = {} if memory is None else memory
    runtime: Runtime = (
        DockerRuntime(settings.DOCKER_HOST, memory=kept)
        if kind is RuntimeKind.DOCKER
        else ProcessRuntime(settings.DATA_DIR, heartbeat=store.heartbeat, memory=kept)
    )
    try:
        yield runtime
    finally:
        runtime.close()
