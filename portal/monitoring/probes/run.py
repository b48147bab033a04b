"""Probes by kind, and many of them at once. A broken probe is a ``None``, never a failed target."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from portal.monitoring.probes.base import TIMEOUT_RANGE, Probe, ProbeReading, Target
from portal.monitoring.probes.guard import Guard
from portal.monitoring.probes.http import probe_http
from portal.monitoring.probes.tcp import probe_tcp
from portal.monitoring.probes.tls import probe_tls
from portal.monitoring.probes.websocket import probe_websocket

logger = logging.getLogger(__name__)

#: Probes that run at once.
PARALLEL = 16
#: Seconds in which one round takes up what becomes due, and in which all of it has to end.
ROUND_S = 15.0
ROUND_LIMIT_S = 35.0
#: Seconds between two looks for what has become due meanwhile.
LOOK_S = 1.0

PROBES: Mapping[str, Probe] = {
    "http": probe_http,
    "websocket": probe_websocket,
    "tls": probe_tls,
    "tcp": probe_tcp,
}
T = TypeVar("T")
Result = tuple[T, ProbeReading | None]


def ask(target: Target, guard: Guard) -> ProbeReading:
    """Probe ``target`` once."""
    return PROBES[target.kind](target, guard)


def bounded_timeout(seconds: float) -> float:
    """Return a probe's time limit within its bounds."""
    low, high = TIMEOUT_RANGE
    return min(high, max(low, seconds))


def probe_due(
    claim: Callable[[int], Sequence[T]], ask_one: Callable[[T], ProbeReading]
) -> Iterator[list[Result[T]]]:
    """Probe what ``claim`` hands out and yield results as they come, so that a slow target delays no other.

    ``claim`` is called with how many may start now, again each second while a probe is under way. What does
    not end in ``ROUND_LIMIT_S`` is left out.
    """
    began = time.monotonic()
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="probe")
    running: dict[Future[ProbeReading], T] = {}
    try:
        while True:
            passed = time.monotonic() - began
            if passed < ROUND_S and (free := PARALLEL - len(running)):
                running |= {pool.submit(ask_one, item): item for item in claim(free)}
            if not running or passed >= ROUND_LIMIT_S:
                return
            done, _still = wait(running, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            if done:
                yield [_result(running.pop(future), future) for future in done]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(item: T, future: Future[ProbeReading]) -> Result[T]:
    error = future.exception()
    if error is None:
        return item, future.result()
    logger.error("probe of %s is broken", item, exc_info=error)
    return item, None
