"""End users of ``/ws`` that come back as the feed's documentation says, and remember when."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import websockets

#: As the reference client: 1 s doubled to 60 s, shortened by up to half; a dead connection after 35 s.
BASE_S = 1.0
CAP_S = 60.0
SILENCE_S = 35.0
#: Gap frames kept.
GAPS_MOST = 1_000

Token = Callable[[bool], Awaitable[str]]


def backoff(failures: int) -> float:
    """Return the seconds before the next attempt when the server named none."""
    return min(CAP_S, BASE_S * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


class SharedToken:
    """One token of a feed key for many readers; asked for again when the server no longer knows it."""

    def __init__(self, url: str, pair: dict[str, str]) -> None:
        self._url, self._pair = url, pair
        self._lock = asyncio.Lock()
        self._token = ""

    async def __call__(self, renew: bool = False) -> str:
        """Return the token; ``renew`` when it was refused.

        Raises:
            httpx.HTTPError: the server does not answer.
        """
        async with self._lock:
            if renew or not self._token:
                body = {
                    "grant_type": "client_credentials",
                    "appkey": self._pair["app_key"],
                    "secretkey": self._pair["secret_key"],
                }
                async with httpx.AsyncClient(timeout=10) as http:
                    answer = await http.post(f"{self._url}/oauth2/token", json=body)
                self._token = str(answer.raise_for_status().json().get("token", ""))
            return self._token


@dataclass
class Reader:
    """One end user; ``run`` never ends by itself. Times are of the monotonic clock."""

    url: str
    token: Token
    topics: list[str]
    rows: int = 0
    last_row: float = 0.0
    #: When the connection was last lost, and when the last one had its topics again.
    lost: float = 0.0
    back: float = 0.0
    #: Longest time in seconds between the two, since it was set to 0.
    longest_away: float = 0.0
    #: Seconds that the server asked to wait at the last close, None when it named none.
    asked: float | None = None
    returns: int = 0
    codes: list[int] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    _failures: int = 0
    _renew: bool = False

    async def run(self) -> None:
        """Read, and come back after each loss."""
        while True:
            began = time.monotonic()
            self.asked = None
            with suppress(OSError, TimeoutError, websockets.WebSocketException, httpx.HTTPError, ValueError):
                await self._connection()
            now = time.monotonic()
            if self.back > began:
                self._failures, self.lost = 0, now
            wait = self.asked if self.asked is not None else backoff(self._failures)
            self._failures += 1
            await asyncio.sleep(wait)

    async def _connection(self) -> None:
        token = await self.token(self._renew)
        self._renew = False
        async with websockets.connect(
            self.url, proxy=None, ping_interval=None, open_timeout=20, close_timeout=1
        ) as socket:
            try:
                await socket.send(json.dumps({"trnm": "LOGIN", "token": token, "status": True}))
                await self._read(socket)
            finally:
                self._note_close(socket)

    async def _read(self, socket: websockets.ClientConnection) -> None:
        while True:
            async with asyncio.timeout(SILENCE_S):
                text = await socket.recv()
            frame = json.loads(text)
            match frame["trnm"]:
                case "LOGIN" if frame["return_code"] == 0:
                    data = [{"item": self.topics, "type": ["0B"]}]
                    body = {"trnm": "REG", "grp_no": "1", "refresh": "1", "data": data}
                    await socket.send(json.dumps(body))
                case "REG" if frame["return_code"] == 0:
                    self.back = time.monotonic()
                    self.returns += 1
                    if self.lost:
                        self.longest_away = max(self.longest_away, self.back - self.lost)
                case "REAL":
                    self.rows += len(frame["data"])
                    self.last_row = time.monotonic()
                case "PING":
                    await socket.send(text)
                case "SYSTEM" if frame.get("code") == "B1008" and len(self.gaps) < GAPS_MOST:
                    self.gaps.append(frame)

    def _note_close(self, socket: websockets.ClientConnection) -> None:
        code = socket.close_code
        if code is None:
            return
        self.codes.append(code)
        del self.codes[:-50]
        self._renew = code == 4401
        reason = socket.close_reason or ""
        if reason.startswith("{"):
            asked = json.loads(reason).get("retry_after")
            self.asked = float(asked) if asked is not None else None
