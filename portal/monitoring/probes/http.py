"""HTTP probe: status, latency and the beginning of the body.

httpcore, on which httpx stands, is used by itself: its network backend is the place where a checked address
is connected to while the URL's name stays in the Host header and in TLS.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import ssl
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import unquote

import httpcore
import httpx

from portal.monitoring.probes import trust
from portal.monitoring.probes.base import USER_AGENT, ProbeReading, Stopwatch, Target, unknown
from portal.monitoring.probes.guard import Guard, Refused
from portal.monitoring.probes.urls import parse

#: Bytes of a body that are read.
MAX_BODY = 64 * 1024
#: Characters of a failing body that are shown.
MAX_SHOWN = 120


def probe_http(target: Target, guard: Guard) -> ProbeReading:
    """Get ``target.url`` without following redirects; a redirect is shown with its destination."""
    return asyncio.run(_ask(target, guard))


class GuardedBackend(httpcore.AnyIOBackend):
    """Connects to the checked addresses of a host, one after the other; closes its connections in the end.

    The library closes them too, but not when it is cancelled amid a TLS handshake (httpcore 1.0.9).
    """

    def __init__(self, guard: Guard, host: str) -> None:
        self._guard = guard
        self._host = host
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._opened.aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to where the target leads, whatever name is presented."""
        limit = timeout or 10.0
        found = await asyncio.to_thread(self._guard.addresses, self._host, port, limit)
        for number, address in enumerate(found, 1):
            try:
                share = limit / (len(found) - number + 1)
                stream = await super().connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(found):
                    raise
            else:
                self._opened.push_async_callback(stream.aclose)
                return stream
        raise AssertionError("there is at least one address")


async def _ask(target: Target, guard: Guard) -> ProbeReading:
    """Ask within ``target.timeout_s`` in all: the client's own limits are for one read, and targets drip."""
    watch = Stopwatch()
    response: httpcore.Response | None = None
    body = bytearray()
    try:
        place = parse("http", target.url)
        url, headers = _request(target)
        async with (
            GuardedBackend(guard, place.host) as backend,
            asyncio.timeout(target.timeout_s),
            httpcore.AsyncConnectionPool(
                ssl_context=trust.verifying(guard.ca_file), network_backend=backend
            ) as pool,
            pool.stream(
                "GET",
                url,
                headers=headers,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write"), target.timeout_s)},
            ) as response,
        ):
            async for piece in response.aiter_stream():
                body += piece[: MAX_BODY - len(body)]
                if len(body) >= MAX_BODY:
                    break
    except Refused as refusal:
        return unknown(f"refused: {refusal}")
    except (TimeoutError, httpcore.TimeoutException):
        limit = target.timeout_s
        if response is None:
            return watch.failed(f"timeout after {limit:g} s")
        return watch.failed(
            f"HTTP {response.status}, body not complete after {limit:g} s", status=response.status
        )
    except (
        *(httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol),
        *(httpx.InvalidURL, ValueError, OSError),
    ) as error:
        return watch.failed(_reason(error))
    return _judged(response, bytes(body), target, watch)


def _request(target: Target) -> tuple[httpcore.URL, list[tuple[str, str]]]:
    """Return the presented URL and the headers of the request."""
    given = httpx.URL(target.url)
    shown = given.copy_with(host=target.host) if target.host else given
    url = httpcore.URL(scheme=shown.raw_scheme, host=shown.raw_host, port=shown.port, target=shown.raw_path)
    headers = [
        ("Host", shown.netloc.decode("ascii")),
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
    ]
    if given.userinfo:
        user, _colon, password = given.userinfo.decode("ascii").partition(":")
        pair = f"{unquote(user)}:{unquote(password)}".encode()
        headers.append(("Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"))
    return url, headers


def _reason(error: BaseException) -> str:
    """Return the root cause's words; the client says only that every attempt failed."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment] # the loop's condition
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _judged(response: httpcore.Response, body: bytes, target: Target, watch: Stopwatch) -> ProbeReading:
    status = response.status
    detail = f"HTTP {status}"
    if location := dict(response.headers).get(b"Location") or dict(response.headers).get(b"location"):
        detail += f", redirects to {location.decode('utf-8', 'replace')}"
    if status != target.expected_status:
        shown = "" if location else body[:MAX_SHOWN].decode("utf-8", "replace")
        wanted = f", expected {target.expected_status}"
        return watch.failed(f"{detail}{wanted}: {shown}" if shown.strip() else detail, status=status)
    if target.body_contains and target.body_contains.encode() not in body:
        where = "the body" if len(body) < MAX_BODY else f"the first {MAX_BODY // 1024} KiB of the body"
        return watch.failed(f"{detail}, but {where} lacks {target.body_contains!r}", status=status)
    return watch.passed(detail, status=status)
