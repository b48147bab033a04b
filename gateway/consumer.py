"""``/ws``: Kiwoom's WebSocket protocol for end users, one instance per connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.utils.translation import gettext as _

from gateway import feed_frames
from gateway.auth import BadCredentials, Principal
from gateway.feed_frames import BadFrame, Close, Code, Verdict
from gateway.feed_queue import ClientQueue
from gateway.feed_registrations import Registrations
from gateway.feed_service import FeedService, FeedUnavailable, feed_service
from gateway.feed_sink import sink_of
from gateway.hub import Client
from gateway.limits import Bucket, LimitExceeded, client_address

logger = logging.getLogger(__name__)

#: Frames, and their characters in all, that may arrive before the LOGIN; they are answered after its reply.
HELD_MAX, HELD_SIZE = 64, 64 * 1024
#: Frames a client may send at once, as clients do that register each item alone after a reconnect.
BURST = 200.0
#: Seconds that a client is told to wait while logins cannot be checked.
UNAVAILABLE_RETRY = 5.0
#: Closes by clients are counted by these codes; others, which a client can invent, are one.
CLIENT_CODES = frozenset({1000, 1001, 1002, 1005, 1006, 1007, 1009})
#: A token longer than this is none of ours.
TOKEN_MAX = 512


class FeedConsumer(AsyncWebsocketConsumer):
    """One end user's connection.

    Everything it holds is given back when ``__call__`` ends, because ``disconnect()`` is not always called.
    """

    service: FeedService

    def __init__(self) -> None:
        super().__init__()
        self._held: list[str] = []  # unread: parsed they may take thirty times the memory
        # A TaskGroup and an ExitStack would take a tenth of an idle connection's memory.
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: list[AbstractContextManager[None]] = []
        self._client: Client | None = None
        self._verdict: Verdict | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._close_task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    async def __call__(
        self,
        scope: Any,
        receive: Any,
        send: Any,
    ) -> None:
        """Serve the connection until it ends."""
        self.service = feed_service()
        self._bucket = Bucket(self.service.config.max_messages_per_second, BURST)
        try:
            await super().__call__(scope, receive, send)
        except BaseException:
            for task in self._tasks:
                task.cancel()
            raise
        finally:
            self._release()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def dispatch(self, message: Any) -> None:
        """Pass an event to its handler, without Channels' look at database connections before each one.

        No handler touches the database outside of ``database_sync_to_async``, which looks after its own.
        """
        match message["type"]:
            case "websocket.connect":
                await self.websocket_connect(message)
            case "websocket.receive":
                await self.websocket_receive(message)
            case "websocket.disconnect":
                await self.websocket_disconnect(message)
            case kind:
                raise ValueError(f"unexpected event {kind!r}")

    async def connect(self) -> None:
        """Accept, then close with a reason if there is no place: a refused handshake cannot carry one."""
        await self.accept()
        loop = asyncio.get_running_loop()
        timeout = self.service.config.login_timeout
        refusal = self.service.refusal
        if refusal is not None:
            self._end(refusal)
            return
        try:
            self._hold(self.service.limits.connection(self._address(), time.monotonic()))
        except LimitExceeded as error:
            self._end(error.verdict)
            return
        verdict = Verdict(Close.BAD_KEY, f"no LOGIN within {timeout:g} seconds")
        self._deadline = loop.call_later(timeout, self._end, verdict)
        self.service.waiting.add(self._end)

    async def websocket_receive(self, message: Any) -> None:
        """Handle one frame; a bad one is answered with an error, a client over a limit is closed."""
        if self._verdict is not None:
            return
        limit = self.service.config.max_message_bytes
        text = message.get("text")
        if not self._bucket.take(time.monotonic()):
            rate = self.service.config.max_messages_per_second
            self._end(Verdict(Close.OVER_LIMIT, f"over {rate:g} messages per second", 10.0))
        elif text is None:
            self._end(Verdict(Close.UNSUPPORTED_DATA, "binary frames are not understood"))
        elif len(text) > limit:
            self._end(Verdict(Close.TOO_BIG, f"over {limit} bytes in one message"))
        else:
            try:
                await self._frame(text)
            except BadFrame as error:
                await self._answer(error.reply)

    async def disconnect(self, code: int) -> None:
        """Count how connections end that the client closed."""
        if self._verdict is None:
            self.service.hub.closes[str(code) if code in CLIENT_CODES else "other"] += 1

    async def _frame(self, text: str) -> None:
        trnm, body = feed_frames.parse(text)
        if trnm == "LOGIN":
            await self._login(body)
        elif self._client is not None:
            self._request(self._client, trnm, body)
        elif len(self._held) < HELD_MAX and sum(map(len, self._held)) + len(text) <= HELD_SIZE:
            self._held.append(text)
        else:
            raise BadFrame(trnm, Code.NOT_LOGGED_IN, _("LOGIN comes first."))

    async def _login(self, body: dict[str, Any]) -> None:
        token = body.get("token")
        if not isinstance(token, str) or not token:
            await self._refuse(Code.NO_TOKEN, "[CODE=8005, MESSAGE=Token이 없습니다]")
            return
        try:
            # The client has done its part: a check that takes long is our fault, not a reason to stay away.
            self._stop_deadline()
            async with asyncio.timeout(self.service.config.login_timeout):
                principal = await self._who(token)
            if self._verdict is not None:  # too late: the connection ended meanwhile
                return
            if self._client is None:
                self._hold(self.service.limits.subject(principal.subject, principal.max_connections))
        except BadCredentials as error:
            await self._refuse(Code.BAD_TOKEN, f"[CODE=8005, MESSAGE={error}]")
        except LimitExceeded as error:
            self._end(error.verdict)
        except (FeedUnavailable, TimeoutError):
            self._end(Verdict(Close.TRY_LATER, "logins cannot be checked now", UNAVAILABLE_RETRY))
        else:
            self._welcome(principal, full_status=body.get("status") is True)

    async def _who(self, token: str) -> Principal:
        if len(token) > TOKEN_MAX:
            raise BadCredentials("Token이 유효하지 않습니다")
        return await self.service.login(token)

    def _welcome(self, principal: Principal, *, full_status: bool) -> None:
        if self._client is not None:
            self._client.queue.control(feed_frames.login_reply())
            return
        self._stop_waiting()
        sink = sink_of(self.scope)
        queue = ClientQueue(self.service.config, self._wake, sink)
        if sink is not None:
            sink.on_room = queue.drain
        self._client = Client(
            queue=queue,
            on_verdict=self._end,
            registrations=Registrations(principal.rights),
            name=principal.name,
            key=principal.key,
            token_digest=principal.token_digest,
            full_status=full_status,
            expires=principal.expires,
            token_expires=principal.token_expires,
            address=self._address(),
        )
        self._client.queue.control(feed_frames.login_reply())
        self.service.hub.add(self._client)
        held, self._held = self._held, []
        for text in held:
            try:
                self._request(self._client, *feed_frames.parse(text))
            except BadFrame as error:
                self._client.queue.control(error.reply)

    def _request(self, client: Client, trnm: str, body: dict[str, Any]) -> None:
        if trnm in feed_frames.IGNORED:
            return
        if trnm in feed_frames.CONDITION_SEARCH:
            raise BadFrame(trnm, Code.NOT_ALLOWED, _("Condition search belongs to one account."))
        if trnm not in ("REG", "REMOVE"):
            raise BadFrame(trnm, Code.UNKNOWN_TRNM, _("Unknown trnm."))
        client.registrations.apply(feed_frames.parse_registration(trnm, body))
        client.queue.control(feed_frames.reply(trnm))
        self.service.hub.set_topics(client, client.registrations.topics)

    async def _refuse(self, code: Code, message: str) -> None:
        text = _("The login was refused.") + message
        await self.send(text_data=feed_frames.reply("LOGIN", code, text))
        self._end(Verdict(Close.BAD_KEY, "the login was refused"))

    async def _answer(self, frame: str) -> None:
        if self._client is not None:
            self._client.queue.control(frame)
        else:
            await self.send(text_data=frame)

    def _wake(self) -> None:
        if self._pump_task is None and self._client is not None:
            self._pump_task = self._spawn(self._pump(self._client.queue))

    async def _pump(self, queue: ClientQueue) -> None:
        """Send what waits, under a server without a sink; it ends when nothing waits."""
        with contextlib.suppress(OSError):  # the client went away; the disconnect event ends the connection
            while (frame := queue.take()) is not None:
                await self.send(text_data=frame)
            self._pump_task = None

    def _end(self, verdict: Verdict) -> None:
        if self._verdict is None:
            self._verdict = verdict
            self.service.hub.closes[str(int(verdict.code))] += 1
            if self._client is not None:
                self.service.hub.remove(self._client)
            self._close_task = self._spawn(self._close(verdict))

    async def _close(self, verdict: Verdict) -> None:
        if self._pump_task is not None:
            self._pump_task.cancel()
        with contextlib.suppress(OSError):  # the client went away first
            await self.close(int(verdict.code), verdict.reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _hold(self, place: AbstractContextManager[None]) -> None:
        place.__enter__()
        self._places.append(place)

    def _stop_waiting(self) -> None:
        self.service.waiting.discard(self._end)
        self._stop_deadline()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _release(self) -> None:
        self._stop_waiting()
        if self._pump_task is not None:
            self._pump_task.cancel()
        if self._client is not None:
            self.service.hub.remove(self._client)
        while self._places:
            self._places.pop().__exit__(None, None, None)

    def _address(self) -> str:
        peer = (self.scope.get("client") or ("",))[0]
        forwarded = ",".join(
            value.decode("latin1") for name, value in self.scope["headers"] if name == b"x-forwarded-for"
        )
        return client_address(peer, forwarded, settings.TRUSTED_PROXIES)
