"""Live panels: one computation per process, page and language, shared by everybody who looks at it.

A board runs only while it has viewers. A viewer that does not read keeps only the newest panels.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from channels.db import database_sync_to_async

from portal.dashboard.contexts import render_panels

logger = logging.getLogger(__name__)

#: Seconds between two looks at the data.
PERIOD = 2.0
#: Seconds after which viewers hear from the server even when nothing changed.
KEEPALIVE = 10.0
#: Different pages (and languages) that one process keeps live; further ones stay still.
BOARDS_MAX = 50
VIEWERS_MAX = 500


class TooMany(Exception):
    """The process keeps as many boards or viewers as it may."""


@dataclass(eq=False, slots=True)
class Viewer:
    """What one socket has still to send: panels merged to their newest version."""

    panels: dict[str, str] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def changes(self) -> dict[str, str]:
        """Wait for the next message and return its panels (none of them for a keep-alive)."""
        await self.wake.wait()
        self.wake.clear()
        panels, self.panels = self.panels, {}
        return panels


@dataclass(eq=False, slots=True)
class Board:
    """The panels of one page in one language and the people who look at them."""

    page: str
    language: str
    shown: dict[str, str] = field(default_factory=dict)
    viewers: set[Viewer] = field(default_factory=set)
    told_at: float = 0.0
    failing: bool = False

    async def run(self) -> None:
        """Look at the data every ``PERIOD`` until cancelled."""
        while True:
            try:
                self.publish(await database_sync_to_async(render_panels)(self.page, self.language) or {})
                self.failing = False
            except Exception:  # a broken panel must not end the updates of every viewer
                if not self.failing:
                    logger.exception("live panels of %s failed", self.page)
                self.failing = True
            await asyncio.sleep(PERIOD)

    def publish(self, panels: dict[str, str]) -> None:
        """Hand what changed to every viewer; never awaits."""
        changed = {name: html for name, html in panels.items() if self.shown.get(name) != html}
        self.shown = panels or self.shown
        now = time.monotonic()
        if not changed and now - self.told_at < KEEPALIVE:
            return
        self.told_at = now
        for viewer in self.viewers:
            viewer.panels |= changed
            viewer.wake.set()


class Boards:
    """Every board of this process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._boards: dict[tuple[str, str], tuple[Board, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def watch(self, page: str, language: str) -> AsyncIterator[Viewer]:
        """Keep a board alive while its viewer looks; the last one to leave stops it.

        Raises:
            TooMany: the process is at its bound.
        """
        key = (page, language)
        viewer = Viewer()
        if sum(len(board.viewers) for board, _task in self._boards.values()) >= VIEWERS_MAX:
            raise TooMany
        if key not in self._boards:
            if len(self._boards) >= BOARDS_MAX:
                raise TooMany
            started = Board(page, language)
            self._boards[key] = (started, asyncio.create_task(started.run(), name=f"live {page}"))
        board, task = self._boards[key]
        board.viewers.add(viewer)
        if board.shown:
            viewer.panels |= board.shown
            viewer.wake.set()
        try:
            yield viewer
        finally:
            board.viewers.discard(viewer)
            if not board.viewers:
                self._boards.pop(key, None)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


boards = Boards()
