"""Bearer tokens for one app key: fetched once at a time, kept until shortly before they expire."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import httpx

from gateway.config import AppKey
from gateway.protocol import Refusal, Token, Verdict, read_token

#: A token this close to its expiry is asked for again.
RENEW_BEFORE = timedelta(minutes=10)
#: Longest reply read, in bytes; maintenance pages are longer and of no use.
MAX_REPLY = 64 * 1024


class TokenSource:
    """Tokens of ``key`` from ``base_url``. Network failures are refusals to be retried, never exceptions."""

    def __init__(self, base_url: str, key: AppKey, *, request_timeout: float = 10.0) -> None:
        self._url = f"{base_url}/oauth2/token"
        self._key = key
        self._timeout = request_timeout
        # A handshake ends by its own limit, before all of the request does: httpcore 1.0.9 leaves the socket
        # open when it is cancelled amid one.
        self._limits = httpx.Timeout(request_timeout, connect=request_timeout * 0.49)
        self._token: Token | None = None
        self._single_flight = asyncio.Lock()

    async def get(self, *, renew: bool = False) -> Token | Refusal:
        """Return a valid token, from memory unless ``renew`` says that the one in memory was rejected."""
        async with self._single_flight:
            if renew:
                self._token = None
            if self._token is not None and self._token.expires_at - datetime.now(UTC) > RENEW_BEFORE:
                return self._token
            result = await self._issue()
            if isinstance(result, Token):
                self._token = result
            return result

    async def _issue(self) -> Token | Refusal:
        body = {
            "grant_type": "client_credentials",
            "appkey": self._key.app_key,
            "secretkey": self._key.secret_key,
        }
        try:
            # Proxies and netrc of the environment are ignored: the token is tied to the address that asks.
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(trust_env=False, timeout=self._limits) as client,
                client.stream("POST", self._url, json=body) as response,
            ):
                reply = b""
                async for chunk in response.aiter_bytes():
                    reply += chunk
                    if len(reply) > MAX_REPLY:
                        break
                return read_token(response.status_code, reply[:MAX_REPLY])
        except (httpx.HTTPError, TimeoutError) as error:
            return Refusal(Verdict.RETRY, 0, f"cannot reach {self._url}: {_describe(error)}")


def _describe(error: BaseException) -> str:
    """Return why, in the words of the error that began it: a refused certificate is named as one."""
    first: BaseException | None = error
    while first is not None and not isinstance(first, ssl.SSLCertVerificationError):
        first = first.__cause__ or first.__context__
    if isinstance(first, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({first.verify_message})"
    return type(error).__name__
