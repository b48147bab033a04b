"""The simulator's shell: one listening port, one task group for each client, one clock for the market."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from gateway.protocol import KST
from gateway.simulator import client as rules
from gateway.simulator import rows
from gateway.simulator.catalog import is_listed
from gateway.simulator.faults import OVERSIZED_BYTES, SLOW_SECONDS, Fault, FaultState
from gateway.simulator.front import FrontConnection, is_websocket
from gateway.simulator.http import Api, Tokens
from gateway.simulator.market import Stock

logger = logging.getLogger(__name__)

#: Seconds between two bursts of rows, as Kiwoom groups them.
BURST = 0.1
#: Frames waiting for one client; more means that it does not read, and it is dropped.
MAX_OUTBOX = 2_000
#: Shares modelled at once; the ones nobody registers any more are forgotten.
MAX_STOCKS = 5_000
#: Mean seconds between rows of types that the market does not model, and between order books.
TEMPLATE_PERIOD = 2.0
GARBAGE = (
    "not json",
    '{"trnm":',
    "[1,2,3]",
    '{"trnm":"REAL","data":"x"}',
    '{"trnm":"REAL","data":[7,{}]}',
    "{}",
)


class Peer:
    """One WebSocket client: its rules, its connection and what waits to be sent to it."""

    def __init__(self, connection: ServerConnection, client: rules.Client) -> None:
        self.connection = connection
        self.client = client
        self.outbox: asyncio.Queue[rules.Out] = asyncio.Queue(MAX_OUTBOX)

    def push(self, *out: rules.Out) -> None:
        """Queue frames without waiting; a client that lets too many pile up loses its connection."""
        try:
            for item in out:
                self.outbox.put_nowait(item)
        except asyncio.QueueFull:
            self.connection.transport.abort()


class Simulator:
    """A Kiwoom server on one port. ``pace`` multiplies the market's speed, ``cap`` is for a connection."""

    def __init__(
        self, credentials: Mapping[str, str], *, pace: float = 1.0, cap: int = rules.ITEM_CAP
    ) -> None:
        self.faults = FaultState()
        self.tokens = Tokens(credentials)
        self.api = Api(self.tokens, self.faults, self._on_switch, self.state)
        self.pace = pace
        self.cap = cap
        self.port = 0
        self.peers: dict[str, Peer] = {}
        self.stocks: dict[str, Stock] = {}
        self.counts = {"connections": 0, "logins": 0, "kicks": 0, "rows": 0}
        self._open: set[Peer] = set()
        self._flowing = asyncio.Event()
        self._turn = 0

    def state(self) -> dict[str, Any]:
        """Return what the simulator does right now, for ``GET /simulator/state``."""
        return {
            "simulator": True,
            "fault": str(self.faults.fault),
            "open": len(self._open),
            "tokens_issued": self.api.issued,
            "items": sum(len(peer.client.registered) for peer in self._open),
            "topics": sorted(
                sorted(f"{kind}:{item}" for kind, item in peer.client.topics()) for peer in self._open
            ),
            **self.counts,
        }

    @asynccontextmanager
    async def run(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
        """Serve until the block ends; yields the port (a free one when ``port`` is 0).

        Raises:
            OSError: the port is taken.
        """
        self._set_flow()
        front = type("Front", (FrontConnection,), {"api": self.api})
        quiet = logging.getLogger("gateway.simulator.websocket")
        quiet.setLevel(logging.CRITICAL)  # handshakes end early here on purpose
        server = await serve(
            self._serve,
            host,
            port,
            process_request=self._check_path,
            create_connection=front,
            ping_interval=None,
            close_timeout=1,
            compression=None,
            logger=quiet,
        )
        self.port = server.sockets[0].getsockname()[1]
        market = asyncio.create_task(self._market(), name="simulator-market")
        try:
            yield self.port
        finally:
            market.cancel()
            server.close()
            for connection in list(server.all_connections):
                connection.transport.abort()
            await server.wait_closed()
            await asyncio.gather(market, return_exceptions=True)

    def _check_path(self, connection: ServerConnection, request: Request) -> Response | None:
        if is_websocket(request):
            return None
        return connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")

    def _on_switch(self) -> None:
        logger.warning("fault: %s", self.faults.fault)
        self._set_flow()
        if Fault.REFUSE in self.faults:
            for peer in self._open:
                peer.connection.transport.abort()
        if Fault.KICK in self.faults:
            for peer in self.peers.values():
                peer.push(*peer.client.kick())

    def _set_flow(self) -> None:
        if Fault.HALF_OPEN in self.faults:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _serve(self, connection: ServerConnection) -> None:
        self.counts["connections"] += 1
        if Fault.ACCEPT_THEN_CLOSE in self.faults:
            await connection.close(1000, rules.CLOSE_REASON)
            return
        client = rules.Client(
            lambda token: self.tokens.owner(token, datetime.now(KST)), self.faults, self.cap
        )
        peer = Peer(connection, client)
        self._open.add(peer)
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(self._write(peer)), tasks.create_task(self._heartbeat(peer))]
                async for text in connection:
                    self._route(peer, client.receive(text, time.monotonic()))
                for helper in helpers:
                    helper.cancel()
        except* ConnectionClosed:
            pass
        finally:
            self._open.discard(peer)
            if self.peers.get(client.app_key) is peer:
                del self.peers[client.app_key]

    def _route(self, peer: Peer, outs: list[rules.Out]) -> None:
        for out in outs:
            if isinstance(out, rules.AfterLogin):
                asyncio.get_running_loop().call_later(rules.LOGIN_LATENCY, self._login, peer, out.token)
            else:
                peer.push(out)

    def _login(self, peer: Peer, token: str) -> None:
        outs = peer.client.finish_login(token)
        if peer.client.logged_in:
            self.counts["logins"] += 1
            older = self.peers.get(peer.client.app_key)
            if older is not None:
                self.counts["kicks"] += 1
                older.push(*older.client.kick())
            self.peers[peer.client.app_key] = peer
            if Fault.OVERSIZED in self.faults:
                outs.append(rules.frame("REAL", padding="x" * OVERSIZED_BYTES))
        peer.push(*outs)

    async def _write(self, peer: Peer) -> None:
        while True:
            out = await peer.outbox.get()
            await self._flowing.wait()
            if Fault.SLOW in self.faults and isinstance(out, str) and '"REAL"' not in out:
                await asyncio.sleep(SLOW_SECONDS)
            if isinstance(out, rules.Close):
                await peer.connection.close(out.code, out.reason)
                return
            if isinstance(out, str):
                await peer.connection.send(out)

    async def _heartbeat(self, peer: Peer) -> None:
        await asyncio.sleep(rules.LOGIN_TIMEOUT)
        if not peer.client.logged_in:
            peer.push(rules.Close())
            return
        while True:
            if Fault.HALF_OPEN not in self.faults:
                peer.push(*peer.client.ping())
            await asyncio.sleep(rules.PING_INTERVAL)

    async def _market(self) -> None:
        while True:
            started = time.monotonic()
            self._burst(datetime.now(KST))
            await asyncio.sleep(max(0.0, BURST - (time.monotonic() - started)))

    def _burst(self, at: datetime) -> None:
        self._turn += 1
        audience: dict[tuple[str, str], list[Peer]] = {}
        for peer in self.peers.values():
            for topic in peer.client.topics():
                audience.setdefault(topic, []).append(peer)
        if self._turn % 600 == 0 and len(self.stocks) > MAX_STOCKS:
            wanted = {item for _, item in audience}
            self.stocks = {item: stock for item, stock in self.stocks.items() if item in wanted}
        if Fault.MUTE in self.faults or Fault.HALF_OPEN in self.faults:
            return
        frames: dict[Peer, list[dict[str, Any]]] = {}
        trades: dict[str, int] = {}
        for (kind, item), peers in audience.items():
            for made in self._rows(kind, item, at, trades):
                self.counts["rows"] += 1
                for peer in peers:
                    frames.setdefault(peer, []).append(made)
        for peer, data in frames.items():
            text = json.dumps({"data": data, "trnm": "REAL"}, ensure_ascii=False, separators=(",", ":"))
            peer.push(text)
            if Fault.GARBAGE in self.faults:
                peer.push(GARBAGE[self._turn % len(GARBAGE)])

    def _rows(self, kind: str, item: str, at: datetime, trades: dict[str, int]) -> list[dict[str, Any]]:
        if kind not in rows.STOCK_TYPES:
            due = self._turn % int(TEMPLATE_PERIOD / BURST) == hash((kind, item)) % int(
                TEMPLATE_PERIOD / BURST
            )
            made = rows.row(kind, item, None, at) if due else None
            return [made] if made else []
        if not is_listed(item):
            return []
        stock = self.stocks.get(item)
        first = stock is None
        if stock is None:
            stock = self.stocks[item] = Stock.start(item, at)
        if item not in trades:
            trades[item] = max(int(first), stock.trades_in(BURST * self.pace))
        if kind != "0B":
            made = rows.row(kind, item, stock, at) if trades[item] else None
            return [made] if made else []
        batch = []
        for _ in range(trades[item]):
            stock.advance(at)
            made = rows.row(kind, item, stock, at)
            if made:
                batch.append(made)
        return batch
