"""One app key within a process: its lease, its session, and what is told about it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Set
from contextlib import suppress
from dataclasses import asdict, replace

from redis.exceptions import RedisError

from gateway.actions import Record
from gateway.bus import TIMEOUT, Bus
from gateway.bus_inbox import Inbox
from gateway.config import AppKey, UpstreamConfig
from gateway.gaps import Cause, Flow, GapWatch, Look
from gateway.lease import Lease
from gateway.logbook import LineCap
from gateway.protocol import Row, split_topic
from gateway.states import State, View
from gateway.status import NAMES, Attempt, FeedState, Gap, GatewayStatus
from gateway.upstream import Upstream

logger = logging.getLogger(__name__)

STATUS_EVERY = 1.0
STANDBY_EVERY = 1.0
#: Seconds between two tries to confirm a lease that is in doubt, and between two looks at whether it is.
DOUBT_EVERY = 1.0
PERMIT_EVERY = 0.2
FAREWELL = 0.5
#: Moves of items from other slots whose gap is still open; of more the oldest are forgotten.
MAX_ADOPTED = 20

#: Whether the market traded at some time between two unix times for these topics.
Traded = Callable[[float, float, Iterable[str]], bool]


class LeaseLost(Exception):
    """Another process holds the slot's lease."""


class SlotOwner:
    """Runs the session of ``key`` while this process holds its lease."""

    def __init__(
        self,
        config: UpstreamConfig,
        key: AppKey,
        *,
        bus: Bus,
        inbox: Inbox,
        owner: str,
        cap: LineCap,
        traded: Traded,
    ) -> None:
        self.slot = key.slot
        self.lease = Lease(bus.client, key.slot, owner, config.lease_ttl)
        self.upstream: Upstream | None = None
        self._config = config
        self._key = key
        self._bus = bus
        self._inbox = inbox
        self._cap = cap
        self._traded = traded
        self._owner = owner
        self._doubt = asyncio.Event()
        self._standbys = 0
        self._noted = 0
        self._elsewhere: frozenset[str] = frozenset()
        self._gaps = GapWatch(key.slot)
        self._adopted: deque[GapWatch] = deque(maxlen=MAX_ADOPTED)
        self._whole_since: float | None = None
        self._held = ""
        self._obeyed: set[bytes | str] = set()

    async def run(self) -> None:
        """Own the slot whenever possible, for ever; the lease is released at the end."""
        try:
            while True:
                waited = await self._acquire()
                logger.info("%s: owner is %s, fence %d", self.slot, self._owner, self.lease.fence)
                try:
                    # A TaskGroup of Python 3.11 forgets a cancellation that meets an error of its children,
                    # and leaves cancellations counted that nobody asked for: hence a task of its own.
                    await asyncio.create_task(self._own(at_once=waited))
                except* LeaseLost:
                    logger.warning("%s: %s took over; standing by", self.slot, self.lease.holder)
                finally:
                    self._bus.forget(self.lease)
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError
        finally:
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self.lease.release()

    def doubt(self) -> None:
        """Look after the lease now: Redis does not know it any more, and refused rows."""
        self.announce()
        self._doubt.set()

    def want(self, topics: Iterable[str], elsewhere: frozenset[str]) -> None:
        """Set the topics to register; rows of items placed ``elsewhere`` are not published here any more."""
        self._elsewhere = elsewhere
        if self.upstream is not None:
            self.upstream.want(topics, elsewhere)

    def adopt(self, flow: Flow, items: Set[str]) -> None:
        """Take over items whose slot left ``flow``; call it before :meth:`want`, for their gap ends here."""
        topics = tuple(topic for topic in flow.topics if split_topic(topic)[1] in items)
        if topics and self.upstream is not None:
            watch = GapWatch(self.slot)
            watch.inherit(replace(flow, topics=topics))
            self._adopted.append(watch)
            self._whole_since = None

    async def obey(self) -> None:
        """Carry out what people asked of this slot, each command once, then take it from the queue.

        In that order none is lost with an answer of Redis, and what is not ours to do stays for the owner.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        commands = await self._inbox.commands(self.slot)
        if not commands or self.upstream is None or not self.lease.held:
            return
        for command in commands:
            if command.raw not in self._obeyed:
                self._obeyed.add(command.raw)
                self.upstream.command(command.verb, command.reason)
        await self._inbox.done(self.slot, commands, self.upstream.session.retry.held)
        self._obeyed.clear()

    async def _acquire(self) -> bool:
        """Wait for the lease; returns whether another process held it meanwhile."""
        waited, told = False, ""
        while True:
            try:
                if await self.lease.acquire():
                    await self._learn()
                    return waited
                await self.lease.stand_by()
                waited, now = True, f"standing by, {self.lease.holder} is the owner"
            except (RedisError, OSError) as error:
                now = f"Redis does not answer ({type(error).__name__}); waiting for it"
            if now != told:
                logger.warning("%s: %s", self.slot, now)
                told = now
            await asyncio.sleep(STANDBY_EVERY)

    async def _learn(self) -> None:
        """Read what an earlier owner left."""
        await self._bus.last_topics()
        async with asyncio.timeout(TIMEOUT):
            flow = await self._inbox.flow(self.slot)
            self._held = await self._inbox.held(self.slot)
        self._gaps = GapWatch(self.slot)
        self._adopted.clear()
        self._obeyed.clear()
        if flow is not None:
            self._gaps.inherit(flow)

    async def _own(self, *, at_once: bool) -> None:
        self.upstream = Upstream(
            self._config,
            self._key,
            on_rows=self._rows,
            on_record=self._record,
            on_change=self.announce,
            permitted=self._permitted,
        )
        self._noted, self._whole_since = 0, None
        if self._held:
            self.upstream.command("open_breaker", self._held)
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
            try:
                async with asyncio.timeout(self._config.lease_renew if self.lease.held else DOUBT_EVERY):
                    await self._doubt.wait()
            except TimeoutError:
                pass
            self._doubt.clear()
            fence = self.lease.fence
            # Without Redis nobody else can take the lease either, so the session goes on.
            with suppress(RedisError, OSError):
                if not await self.lease.acquire():
                    raise LeaseLost
                self._bus.confirmed(self.slot)
                if self.lease.fence != fence:
                    self.announce()
                    await self._remember_held()
                self._standbys = await self.lease.standbys()

    async def _remember_held(self) -> None:
        """Tell a Redis that lost everything, or came back with an old state, who holds the breaker.

        A command that is still queued comes after this and is written then.
        """
        if self.upstream is not None:
            async with asyncio.timeout(TIMEOUT):
                await self._inbox.remember_held(self.slot, self.upstream.session.retry.held)

    async def _permitted(self) -> bool:
        """Wait for a valid lease before an attempt: without one another process may be connected."""
        until = time.monotonic() + self._config.open_timeout / 2
        while not self.lease.held and time.monotonic() < until:  # noqa: ASYNC110 - a lease ends by time alone
            await asyncio.sleep(PERMIT_EVERY)
        return self.lease.held

    async def _tell(self) -> None:
        while True:
            self.announce()
            await asyncio.sleep(STATUS_EVERY)

    def _rows(self, rows: tuple[Row, ...]) -> None:
        if self._elsewhere:
            rows = tuple(row for row in rows if split_topic(row.topic)[1] not in self._elsewhere)
        self._bus.publish(self.lease, rows)
        waiting = self._gaps.open or self._adopted
        # While nothing gets through no row ends a gap, and a look at each frame costs more than the rows.
        if waiting and self.upstream is not None and self._bus.down_since is None and self.lease.held:
            self._look(self.upstream.session.view(time.monotonic()))

    def _record(self, record: Record, at: float) -> None:
        attempt = Attempt(
            at=at,
            number=record.number,
            delay_before=round(record.delay_before, 3),
            outcome=record.outcome,
            reason=record.reason,
            live_for=round(record.live_for, 3),
        )
        self._bus.note(self.lease, attempt, replace=record.number == self._noted)
        self._noted = record.number

    def _look(self, view: View) -> None:
        """See whether rows flow; a gap that ended is published, unless no market traded in it."""
        now, wall = time.monotonic(), time.time()
        broken, since = self._broken(view)
        whole = broken is None and view.places.settled
        if not whole:
            self._whole_since = None
        elif self._whole_since is None:
            self._whole_since = now
        look = Look(
            at=wall,
            topics=view.places.topics,
            broken=broken,
            since=_unix(since, now, wall),
            whole_since=_unix(self._whole_since, now, wall),
            last_row=_unix(view.last_row, now, wall),
        )
        for watch in (self._gaps, *self._adopted):
            gap = watch.look(look)
            if gap is not None and self._traded(gap.since, gap.until, gap.topics):
                self._miss(gap)
            if watch is not self._gaps and not watch.open:
                self._adopted.remove(watch)

    def _broken(self, view: View) -> tuple[Cause | None, float | None]:
        """Return why rows do not flow, and since when (monotonic seconds) where that is known exactly."""
        if self._bus.down_since is not None:
            return Cause.REDIS, self._bus.written_at
        if self.slot in self._bus.refused:
            return Cause.REDIS, None
        if not self.lease.held:
            return Cause.OWNER, None
        if view.state is State.IDLE:
            return Cause.OWNER, None
        if view.state is State.STALE:
            return Cause.STALE, view.last_row
        if view.state is not State.LIVE:
            return Cause.DISCONNECTED, view.last_frame
        return None, None

    def _miss(self, gap: Gap) -> None:
        self._bus.miss(self.lease, gap)
        logger.warning(
            "%s: rows of %d topics may be missing for %.1f s (%s)",
            *(self.slot, gap.count, gap.until - gap.since, gap.reason),
        )

    def announce(self) -> None:
        """Queue the slot's status."""
        if self.upstream is None:
            return
        now, wall = time.monotonic(), time.time()
        view = self.upstream.session.view(now)
        self._look(view)
        waits = None if view.next_attempt is None else max(0.0, round(view.next_attempt - now, 3))
        places = view.places
        status = GatewayStatus(
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
            topics=view.registered,
            wanted=places.wanted,
            capacity=places.capacity,
            free=places.free,
            unplaced=len(places.unplaced),
            unplaced_topics=places.unplaced[:NAMES],
            silent=len(places.silent),
            silent_topics=places.silent[:NAMES],
            rows_in=view.rows_in,
            last_row_at=_unix(view.last_row, now, wall),
            lag_ms=None if self._bus.lag_ms is None else round(self._bus.lag_ms, 2),
            owner=self._owner,
            standbys=self._standbys,
            fence=self.lease.fence,
            log_lines=self._cap.lines,
            log_dropped=self._cap.dropped,
            tasks=len(asyncio.all_tasks()),
            retry=asdict(self._config.retry),
        )
        self._bus.announce(status, self._gaps.flow)


def feed_state(view: View) -> FeedState:
    """Return what clients are told: outside market hours the feed is closed, whatever the session does."""
    if not view.market_open:
        return FeedState.CLOSED
    return {
        State.LIVE: FeedState.LIVE,
        State.STALE: FeedState.STALE,
        State.PARKED: FeedState.PARKED,
    }.get(view.state, FeedState.RECONNECTING)


def _unix(at: float | None, now: float, wall: float) -> float | None:
    return None if at is None else wall - (now - at)
