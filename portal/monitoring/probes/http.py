"""HTTP probe: status, latency and the beginning of the body."""

from __future__ import annotations

import asyncio
import errno
import os
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from portal.monitoring.probes.base import ProbeReading, Stopwatch, Target

#: Bytes of a body that are read.
MAX_BODY = 64 * 1024
#: Characters of a failing body that are shown.
MAX_SHOWN = 120


def probe_http(target: Target) -> ProbeReading:
    """Get ``target.url`` without following redirects; a redirect is shown with its destination."""
    return asyncio.run(_ask(target))


async def _ask(target: Target) -> ProbeReading:
    """Ask within ``target.timeout_s`` in all: the client's own limits are for one read, and targets drip."""
    watch = Stopwatch()
    response: httpx.Response | None = None
    body = bytearray()
    try:
        if urlsplit(target.url).port == 0:  # raises for a port that is no number or out of range
            raise ValueError("there is no port 0")
        async with (
            asyncio.timeout(target.timeout_s),
            httpx.AsyncClient(timeout=target.timeout_s, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", target.url, headers={"User-Agent": "bonghwa-probe"}) as response,
        ):
            async for piece in response.aiter_raw():
                body += piece
                if len(body) >= MAX_BODY:
                    break
    except (TimeoutError, httpx.TimeoutException):
        late = f"after {target.timeout_s:g} s"
        if response is None:
            return watch.failed(f"timeout {late}")
        status = response.status_code
        return watch.failed(f"HTTP {status}, body not complete {late}", status=status)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return watch.failed(_reason(error))
    return _judged(response, bytes(body), target, watch)


def _reason(error: BaseException) -> str:
    """Return the root cause's words; the client says only that every attempt failed."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment] # the loop's condition
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _judged(response: httpx.Response, body: bytes, target: Target, watch: Stopwatch) -> ProbeReading:
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
