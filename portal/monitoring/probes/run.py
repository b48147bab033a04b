"""Probe many endpoints at once. A broken probe is a ``None``, never a failed target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from portal.monitoring.models import Endpoint, ProbeKind
from portal.monitoring.probes.base import Probe, ProbeReading, Target
from portal.monitoring.probes.http import probe_http
from portal.monitoring.probes.websocket import probe_websocket

logger = logging.getLogger(__name__)

PARALLEL = 16
#: Seconds for all probes of one round, and the most that one may take of it.
ROUND_LIMIT_S = 20.0
MAX_TIMEOUT_S = 10.0

PROBES: Mapping[str, Probe] = {ProbeKind.HTTP: probe_http, ProbeKind.WEBSOCKET: probe_websocket}


def probe(endpoint: Endpoint) -> ProbeReading:
    """Probe one endpoint now (also for a "test now" button)."""
    return PROBES[endpoint.kind](
        Target(
            url=endpoint.url,
            timeout_s=min(MAX_TIMEOUT_S, max(0.1, endpoint.timeout_s)),
            expected_status=endpoint.expected_status,
            expect_frame=endpoint.expect_frame,
            send=endpoint.send,
        )
    )


def probe_all(
    endpoints: Sequence[Endpoint], ask: Callable[[Endpoint], ProbeReading] = probe
) -> list[tuple[Endpoint, ProbeReading | None]]:
    """Probe ``endpoints``; ones that found no time in this round are left out, broken ones are ``None``."""
    pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="probe")
    try:
        futures = [(endpoint, pool.submit(ask, endpoint)) for endpoint in endpoints]
        wait([future for _endpoint, future in futures], timeout=ROUND_LIMIT_S)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    probed: list[tuple[Endpoint, ProbeReading | None]] = []
    for endpoint, future in futures:
        if not future.done() or future.cancelled():
            continue
        error = future.exception()
        if error is None:
            probed.append((endpoint, future.result()))
        else:
            logger.error("probe of %s is broken", endpoint.name, exc_info=error)
            probed.append((endpoint, None))
    return probed
