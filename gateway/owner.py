"""The gateway process: one owner for each app key, standing by while another process holds its lease."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

from redis.exceptions import RedisError

from gateway.actions import Record
from gateway.bus import TIMEOUT, Bus, connect
from gateway.calendar import MarketCalendar, venues_of
from gateway.config import AppKey, UpstreamConfig
from gateway.lease import Lease
from gateway.logbook import LineCap
from gateway.planner import place
from gateway.protocol import Row, split_topic
from gateway.states import State, View
from gateway.status import Attempt, FeedState, GatewayStatus
from gateway.upstream import Upstream

logger = logging.getLogger(__name__)

STATUS_EVERY = 1.0
STANDBY_EVERY = 1.0
FAREWELL = 0.5


class LeaseLost(Exception):
    """Another process holds the slot's lease."""


class SlotOwner:
    """Runs the session of ``key`` while this process holds its lease."""

    def __init__(self, config: UpstreamConfig, key: AppKey, bus: Bus, owner: str, cap: LineCap) -> None:
        self.slot = key.slot
        self._config = config
        self._key = key
        self._bus = bus
        self._cap = cap
        self._lease = Lease(bus.client, key.slot, owner, config.lease_ttl)
        self._owner = owner
        self._standbys = 0
        self._noted = 0
        self.upstream: Upstream | None = None

    async def run(self) -> None:
        """Own the slot whenever possible, for ever; the lease is released at the end."""
        try:
            while True:
                waited = await self._acquire()
                logger.info("%s: owner is %s, fence %d", self.slot, self._owner, self._lease.fence)
                try:
                    # A TaskGroup of Python 3.11 forgets a cancellation that meets an error of its children,
                    # and leaves cancellations counted that nobody asked for: hence a task of its own.
                    await asyncio.create_task(self._own(at_once=waited))
                except* LeaseLost:
                    logger.warning("%s: %s took over; standing by", self.slot, self._lease.holder)
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._lease.release()

    async def _acquire(self) -> bool:
        """Wait for the lease; returns whether another process held it meanwhile."""
        waited, told = False, ""
        while True:
            try:
                if await self._lease.acquire():
                    await self._bus.last_topics()
                    return waited
                await self._lease.stand_by()
                waited, now = True, f"standing by, {self._lease.holder} is the owner"
            except (RedisError, OSError) as error:
                now = f"Redis does not answer ({type(error).__name__}); waiting for it"
            if now != told:
                logger.warning("%s: %s", self.slot, now)
                told = now
            await asyncio.sleep(STANDBY_EVERY)

    async def _own(self, *, at_once: bool) -> None:
        self.upstream = Upstream(
            self._config, self._key, on_rows=self._rows, on_record=self._record, on_change=self.announce
        )
        self._noted = 0
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.upstream.run(at_once=at_once))
                tasks.create_task(self._renew())
                tasks.create_task(self._tell())
        finally:
            self.announce()
            self.upstream = None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._config.lease_renew)
            # Without Redis nobody else can take the lease either, so the session goes on.
            with suppress(RedisError, OSError):
                if not await self._lease.acquire():
                    raise LeaseLost
                self._standbys = await self._lease.standbys()

    async def _tell(self) -> None:
        while True:
            self.announce()
            await asyncio.sleep(STATUS_EVERY)

    def _rows(self, rows: tuple[Row, ...]) -> None:
        self._bus.publish(self._lease.fence, rows)

    def _record(self, record: Record, at: float) -> None:
        attempt = Attempt(
            at=at,
            number=record.number,
            delay_before=round(record.delay_before, 3),
            outcome=record.outcome,
            reason=record.reason,
            live_for=round(record.live_for, 3),
        )
        self._bus.note(self.slot, attempt, replace=record.number == self._noted)
        self._noted = record.number

    def announce(self) -> None:
        """Queue the slot's status."""
        if self.upstream is None:
            return
        now, wall = time.monotonic(), time.time()
        view = self.upstream.session.view(now)
        waits = None if view.next_attempt is None else max(0.0, round(view.next_attempt - now, 3))
        self._bus.announce(
            GatewayStatus(
                slot=self.slot,
                at=wall,
                session=str(view.state),
                feed=feed_state(view),
                since=wall - (now - view.since),
                attempts=view.attempts,
                attempts_total=view.attempts_total,
                next_retry_s=waits,
                breaker=str(view.breaker),
                breaker_manual=view.held,
                last_error=view.last_error,
                mode=str(self._config.mode),
                url=self._config.ws_url,
                topics=view.topics,
                unplaced=view.unplaced,
                rows_in=view.rows_in,
                last_row_at=None if view.last_row is None else wall - (now - view.last_row),
                lag_ms=None if self._bus.lag_ms is None else round(self._bus.lag_ms, 2),
                owner=self._owner,
                standbys=self._standbys,
                fence=self._lease.fence,
                log_lines=self._cap.lines,
                log_dropped=self._cap.dropped,
                retry=asdict(self._config.retry),
            )
        )


def feed_state(view: View) -> FeedState:
    """Return what clients are told: outside market hours the feed is closed, whatever the session does."""
    if not view.market_open:
        return FeedState.CLOSED
    return {
        State.LIVE: FeedState.LIVE,
        State.STALE: FeedState.STALE,
        State.PARKED: FeedState.PARKED,
    }.get(view.state, FeedState.RECONNECTING)


class Gateway:
    """All slots of this process and what they share."""

    def __init__(self, config: UpstreamConfig, redis_url: str, cap: LineCap) -> None:
        self._config = config
        self._client = connect(redis_url)
        self._bus = Bus(self._client, last_interval=config.last_value_interval)
        self._calendar = MarketCalendar(config.calendar)
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._slots = [SlotOwner(config, key, self._bus, owner, cap) for key in config.keys]
        self._places: dict[str, str] = {}
        self._wanted: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; leases are released and the last status is written on the way out."""
        async with asyncio.TaskGroup() as shared:
            loops = [shared.create_task(self._bus.write()), shared.create_task(self._bus.listen())]
            async with asyncio.TaskGroup() as slots:
                running = [slots.create_task(slot.run(), name=slot.slot) for slot in self._slots]
                running.append(slots.create_task(self._follow()))
                await stop.wait()
                for task in running:
                    task.cancel()
            for task in loops:
                task.cancel()
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._bus.flush()
        await self._client.aclose()

    async def _follow(self) -> None:
        """Read wishes and commands, and the calendar, for ever."""
        while True:
            owned = [slot for slot in self._slots if slot.upstream is not None]
            try:
                async with asyncio.timeout(TIMEOUT):
                    self._wanted = await self._bus.wanted()
                    for slot in owned:
                        for command in await self._bus.commands(slot.slot):
                            if slot.upstream is not None:
                                slot.upstream.command(command.verb, command.reason)
            except (RedisError, OSError, TimeoutError):
                pass  # the writing side says that Redis is away; the last wishes stay in force
            self._distribute(owned)
            await self._bus.next_poll()

    def _distribute(self, owned: list[SlotOwner]) -> None:
        names = [slot.slot for slot in owned]
        placed = place(self._wanted, names, self._config.items_per_connection, self._places)
        self._places = {split_topic(topic)[1]: slot for slot, topics in placed.items() for topic in topics}
        at = datetime.now(UTC)
        for slot in owned:
            if slot.upstream is not None:
                topics = placed[slot.slot]
                slot.upstream.want(topics)
                slot.upstream.market(is_open=self._calendar.is_open(at, venues_of(topics)))
