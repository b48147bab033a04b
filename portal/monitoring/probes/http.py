"""HTTP probe: status, latency and the beginning of the body."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx

from portal.monitoring.probes.base import ProbeReading, Stopwatch, Target

#: Bytes of a body that are read.
MAX_BODY = 64 * 1024
#: Characters of a failing body that are shown.
MAX_SHOWN = 120


def probe_http(target: Target) -> ProbeReading:
    """Get ``target.url`` without following redirects; a redirect is shown with its destination."""
    watch = Stopwatch()
    deadline = time.monotonic() + target.timeout_s
    try:
        with (
            httpx.Client(timeout=target.timeout_s, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", target.url, headers={"User-Agent": "bonghwa-probe"}) as response,
        ):
            body = bytearray()
            for piece in response.iter_raw(16 * 1024):
                body += piece
                if len(body) >= MAX_BODY:
                    break
                if time.monotonic() > deadline:
                    return watch.failed(
                        f"HTTP {response.status_code}, body not complete after {target.timeout_s:g} s",
                        status=response.status_code,
                    )
    except httpx.TimeoutException:
        return watch.failed(f"timeout after {target.timeout_s:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        return watch.failed(str(error) or type(error).__name__)
    detail = f"HTTP {response.status_code}"
    if response.status_code != target.expected_status:
        if location := response.headers.get("location"):
            detail += f", redirects to {location}"
        shown = body[:MAX_SHOWN].decode("utf-8", "replace")
        text = f"{detail}, expected {target.expected_status}: {shown}" if shown.strip() else detail
        return watch.failed(text, status=response.status_code)
    return ProbeReading(
        ok=True, at=datetime.now(UTC), latency_ms=watch.ms, detail=detail, status=response.status_code
    )
