"""``/live/``: the dashboard's own socket. Origin-checked and signed in, unlike the feed's ``/ws``."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth.models import PermissionsMixin

from portal.dashboard.access import VIEW
from portal.dashboard.contexts import PANELS
from portal.dashboard.live import TooMany, Viewer, boards
from portal.dashboard.sessions import stored

#: Seconds between two looks at the viewer's session and permission.
RECHECK = 30.0
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
TRY_LATER = 1013


class LiveConsumer(AsyncWebsocketConsumer):
    """Sends ``{"now":…,"panels":{NAME:HTML}}`` for one page; anything a browser sends is ignored."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket; the pump ends with it however it ends."""
        self.pump: asyncio.Task[None] | None = None
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.pump is not None:
                self.pump.cancel()
                await asyncio.wait([self.pump])

    async def connect(self) -> None:
        """Accept, then close with a reason when the page is not for this person."""
        await self.accept()
        user = self.scope["user"]
        if user is None or not user.is_authenticated or await self._session() is None:
            await self.close(UNAUTHENTICATED)
            return
        if not await database_sync_to_async(user.has_perm)(VIEW):
            await self.close(FORBIDDEN)
            return
        query = parse_qs(self.scope["query_string"].decode("ascii", "replace"))
        page, language = query.get("page", [""])[0], query.get("lang", [""])[0]
        if page.partition(":")[0] not in PANELS or len(page) > 30:
            await self.close(FORBIDDEN)
            return
        if language not in dict(settings.LANGUAGES):
            language = settings.LANGUAGE_CODE
        self.pump = asyncio.create_task(self._pump(page, language), name="live socket")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what a browser sends: this socket only tells."""

    async def _pump(self, page: str, language: str) -> None:
        try:
            async with boards.watch(page, language) as viewer:
                await self._tell(viewer)
        except TooMany:
            await self.close(TRY_LATER)

    async def _tell(self, viewer: Viewer) -> None:
        checked = time.monotonic()
        while True:
            panels = await viewer.changes()
            if time.monotonic() - checked > RECHECK:
                checked = time.monotonic()
                if not await self._still_allowed():
                    await self.close(UNAUTHENTICATED)
                    return
            await self.send(orjson.dumps({"now": round(time.time(), 2), "panels": panels}).decode())

    async def _still_allowed(self) -> bool:
        """Look at the stored session, since the scope's copy knows neither a sign-out nor the time."""
        session = await self._session()
        if session is None:
            return False
        user = await get_user({**self.scope, "session": session})
        if not isinstance(user, PermissionsMixin) or not user.is_active:
            return False
        return await database_sync_to_async(user.has_perm)(VIEW)

    async def _session(self) -> Any | None:
        return await database_sync_to_async(stored)(self.scope["session"].session_key)
