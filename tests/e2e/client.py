"""An end user of ``/ws``: gets a token, logs in, registers, echoes PINGs, and keeps what arrives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.product import Product


class Client:
    """One connection; ``rows`` and ``system`` grow as frames arrive."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.rows: list[dict[str, Any]] = []
        self.system: list[dict[str, Any]] = []
        self._news = asyncio.Condition()

    @property
    def connected(self) -> bool:
        """Whether the server has not closed the connection."""
        return self._connection.close_code is None

    async def read(self) -> None:
        """Take frames until the connection ends."""
        async for text in self._connection:
            frame = json.loads(text)
            match frame["trnm"]:
                case "PING":
                    await self._connection.send(text)
                case "REAL":
                    self.rows += frame["data"]
                case "SYSTEM":
                    self.system.append(frame)
                case _:
                    pass
            async with self._news:
                self._news.notify_all()

    async def more_rows(self, within: float) -> int:
        """Wait for a row that comes after this call; returns how many came.

        Raises:
            TimeoutError: none came.
        """
        before = len(self.rows)
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: len(self.rows) > before)
        return len(self.rows) - before

    async def told(self, code_or_word: str, within: float) -> dict[str, Any]:
        """Wait for a SYSTEM frame that carries this word (frames of the past count).

        Raises:
            TimeoutError: none came.
        """

        def found() -> list[dict[str, Any]]:
            return [frame for frame in self.system if code_or_word in json.dumps(frame)]

        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(found)
        return found()[0]


@asynccontextmanager
async def logged_in(product: Product, key: dict[str, str], *, url: str = "") -> AsyncIterator[Client]:
    """Yield a client that registered 005930; ``url`` replaces the product's address (a proxy)."""
    base = url or product.url
    async with httpx.AsyncClient() as http:
        body = {"grant_type": "client_credentials", "appkey": key["app_key"], "secretkey": key["secret_key"]}
        token = (await http.post(f"{base}/oauth2/token", json=body, timeout=10)).json()["token"]
    async with connect(base.replace("http", "ws", 1) + "/ws", proxy=None, ping_interval=None) as connection:
        await connection.send(json.dumps({"trnm": "LOGIN", "token": token, "status": True}))
        reply = json.loads(await connection.recv())
        assert (reply["trnm"], reply["return_code"]) == ("LOGIN", 0), reply
        register = [{"item": ["005930"], "type": ["0B"]}]
        await connection.send(json.dumps({"trnm": "REG", "grp_no": "1", "refresh": "1", "data": register}))
        client = Client(connection)
        reader = asyncio.create_task(client.read())
        try:
            yield client
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
