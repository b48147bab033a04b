"""The shell around a session: sockets, timers, tasks. The only module that imports the WebSocket client."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Set
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI, WebSocketException

from gateway.actions import (
    Action,
    Announce,
    Connect,
    Disconnect,
    FetchToken,
    Log,
    Publish,
    Record,
    Send,
)
from gateway.config import AppKey, UpstreamConfig
from gateway.protocol import Refusal, Row, Token, Verdict
from gateway.session import Session
from gateway.token import TokenSource

PATH = "/api/dostk/websocket"
MAX_FRAME = 1024 * 1024
#: Frames buffered between the socket and the session, and frames waiting to be sent.
MAX_INBOX = 16
MAX_OUTBOX = 256
SEND_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
#: Shortest sleep between two ticks, in seconds: no mistake in a deadline can make a busy loop.
LEAST_SLEEP = 0.01
UNCONFIRMED = Refusal(Verdict.RETRY, 0, "Redis does not confirm that this process owns the key")


class Upstream:
    """Runs one session. The callbacks must not block; ``on_record`` gets the attempt and its unix time.

    ``permitted`` is asked before each attempt; it may wait for half of the configured ``open_timeout``.
    """

    def __init__(
        self,
        config: UpstreamConfig,
        key: AppKey,
        *,
        on_rows: Callable[[tuple[Row, ...]], None],
        on_record: Callable[[Record, float], None],
        on_change: Callable[[], None],
        permitted: Callable[[], Awaitable[bool]],
    ) -> None:
        self.session = Session(config, key, random=random.SystemRandom().random)
        self._config = config
        self._tokens = TokenSource(config.rest_url, key, request_timeout=config.open_timeout)
        self._logger = logging.getLogger(f"gateway.upstream.{key.slot}")
        self._on_rows, self._on_record, self._on_change = on_rows, on_record, on_change
        self._permitted = permitted
        self._outbox: asyncio.Queue[str] = asyncio.Queue(MAX_OUTBOX)
        self._work: asyncio.Task[None] | None = None
        #: Held while a socket exists: never two connections at a time, however fast they are given up.
        self._line = asyncio.Lock()
        self._generation = 0
        self._wake = asyncio.Event()
        self._sleeps_until = 0.0

    async def run(self, *, at_once: bool = False) -> None:
        """Keep the session going until cancelled; then close the connection within CLOSE_TIMEOUT."""
        async with asyncio.TaskGroup() as self._tasks:
            try:
                self._apply(self.session.start(time.monotonic(), at_once=at_once))
                while True:
                    await self._sleep()
                    self._apply(self.session.tick(time.monotonic()))
            finally:
                self._apply(self.session.stop(time.monotonic()))

    def want(self, topics: Iterable[str], elsewhere: Set[str]) -> None:
        """Set the topics to register, and the items that other sessions carry."""
        self._apply(self.session.want(time.monotonic(), topics, elsewhere))

    def market(self, *, is_open: bool, trading: frozenset[str]) -> None:
        """Say whether the market trades, and the markets of which topics do."""
        self._apply(self.session.market(time.monotonic(), is_open=is_open, trading=trading))

    def command(self, verb: str, reason: str) -> None:
        """Carry out what a person asked; an unknown verb is logged."""
        verbs = {
            "resume": self.session.resume,
            "open_breaker": self.session.open_breaker,
            "close_breaker": self.session.close_breaker,
        }
        if verb in verbs:
            self._apply(verbs[verb](time.monotonic(), reason))
        else:
            self._logger.warning("unknown command %r", verb[:40])

    async def _sleep(self) -> None:
        now = time.monotonic()
        due = self.session.deadline(now)
        pause = None if due is None else max(LEAST_SLEEP, due - now)
        self._sleeps_until = float("inf") if pause is None else now + pause
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _apply(self, actions: list[Action]) -> None:
        changed = overflow = False
        generation = self._generation
        for action in actions:
            match action:
                case Publish(rows):
                    self._on_rows(rows)
                case Send(text):
                    try:
                        self._outbox.put_nowait(text)
                    except asyncio.QueueFull:
                        overflow = True
                case FetchToken(renew):
                    self._launch(self._fetch_token(renew))
                case Connect():
                    self._launch(self._connect())
                case Disconnect():
                    self._give_up()
                case Log(level, message):
                    self._logger.log(level, "%s", message)
                case Record():
                    self._on_record(action, time.time() - (time.monotonic() - action.started))
                case Announce():
                    changed = True
        if changed:
            self._on_change()
        if overflow:
            # Of the connection that these frames were for, unless the same actions gave it up already.
            self._broke(generation, "timeout", "the server sends but does not read")
        due = self.session.deadline(time.monotonic())
        if due is not None and due < self._sleeps_until:
            self._wake.set()

    def _launch(self, work: Coroutine[Any, Any, None]) -> None:
        self._generation += 1
        self._outbox = asyncio.Queue(MAX_OUTBOX)
        self._work = self._tasks.create_task(work)

    def _give_up(self) -> None:
        self._generation += 1
        if self._work is not None:
            self._work.cancel()

    def _report(self, generation: int, event: Callable[[], list[Action]]) -> bool:
        """Tell the session, unless it has given up on this work; returns whether it still wants it."""
        if generation == self._generation:
            self._apply(event())
        return generation == self._generation

    async def _fetch_token(self, renew: bool) -> None:
        generation = self._generation
        result: Token | Refusal = UNCONFIRMED
        if await self._permitted():
            result = await self._tokens.get(renew=renew)
        self._report(generation, lambda: self.session.token(time.monotonic(), result))

    async def _connect(self) -> None:
        generation = self._generation
        async with self._line:
            await self._connect_and_converse(generation)

    async def _connect_and_converse(self, generation: int) -> None:
        try:
            async with asyncio.timeout(self._config.open_timeout):
                socket = await connect(
                    self._config.ws_url + PATH,
                    proxy=None,
                    compression=None,
                    open_timeout=None,
                    ping_interval=None,
                    close_timeout=CLOSE_TIMEOUT,
                    max_size=MAX_FRAME,
                    max_queue=MAX_INBOX,
                    user_agent_header=None,
                )
        except TimeoutError:
            self._broke(generation, "timeout", "the WebSocket did not open in time")
        except (OSError, InvalidHandshake, InvalidURI, WebSocketException, EOFError) as error:
            self._broke(generation, "refused", f"cannot open the WebSocket: {_describe(error)}")
        else:
            try:
                await self._converse(generation, socket)
            finally:
                await socket.close()

    async def _converse(self, generation: int, socket: ClientConnection) -> None:
        if not self._report(generation, lambda: self.session.opened(time.monotonic())):
            return
        writer = asyncio.create_task(self._send(generation, socket, self._outbox))
        try:
            while True:
                text = await socket.recv()
                if not self._report(generation, lambda: self.session.received(time.monotonic(), text)):  # noqa: B023 - called at once
                    return
        except ConnectionClosed as error:
            self._broke(generation, "closed", _describe(error))
        finally:
            writer.cancel()
            await asyncio.wait([writer])

    async def _send(self, generation: int, socket: ClientConnection, outbox: asyncio.Queue[str]) -> None:
        try:
            while True:
                text = await outbox.get()
                async with asyncio.timeout(SEND_TIMEOUT):
                    await socket.send(text)
        except TimeoutError:
            self._broke(generation, "timeout", "the server does not read")
        except ConnectionClosed:
            return  # the reader tells the session

    def _broke(self, generation: int, outcome: str, reason: str) -> None:
        self._report(generation, lambda: self.session.broke(time.monotonic(), outcome, reason))


def _describe(error: Exception) -> str:
    """Return a short reason without addresses of objects or stack traces."""
    if isinstance(error, ConnectionClosed):
        frame = error.rcvd or error.sent
        if frame is None:
            return "closed without a close frame (1006)"
        by = "by the server" if error.rcvd else "by the gateway"
        return f"closed {by} with {frame.code} {frame.reason}".rstrip()
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:200]
