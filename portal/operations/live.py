"""Live reads of one service with a time limit, for evidence and verifiers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import TypeVar

from portal.monitoring.access import opened
from portal.monitoring.models import RuntimeKind, Service
from portal.monitoring.runtimes.base import Runtime, RuntimeUnavailable

T = TypeVar("T")


def ask(service: Service, question: Callable[[Runtime, str], T], limit_s: float) -> T:
    """Put ``question`` to the runtime of ``service`` and wait at most ``limit_s`` seconds.

    A question that is late ends by its own time limits in the background.

    Raises:
        RuntimeProblem: there is no answer.
    """

    def put() -> T:
        with opened(RuntimeKind(service.runtime)) as runtime:
            return question(runtime, service.runtime_id)

    pool = ThreadPoolExecutor(1, thread_name_prefix="live")
    try:
        return pool.submit(put).result(timeout=limit_s)
    except LateError as error:
        raise RuntimeUnavailable(f"no answer within {limit_s:g} s") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
