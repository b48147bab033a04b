"""The gateway process: one owner for each app key, standing by while another process holds its lease."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime

from redis.exceptions import RedisError

from gateway.bus import TIMEOUT, Bus
from gateway.bus_inbox import Inbox, Seen
from gateway.calendar import DayHours, MarketCalendar, Venue, venues_of
from gateway.config import UpstreamConfig
from gateway.logbook import LineCap
from gateway.placement import Placement, Seat, place
from gateway.protocol import split_topic
from gateway.redis_client import connect
from gateway.slot import FAREWELL, SlotOwner
from gateway.states import State
from gateway.status import GatewayStatus

logger = logging.getLogger(__name__)

#: Seconds between two reads of the days entered by hand, and the longest one may take.
DAYS_EVERY = 60.0
DAYS_TIMEOUT = 10.0

#: Reads the days entered by hand; any exception means that they cannot be read now.
ReadDays = Callable[[], Awaitable[Mapping[tuple[Venue, date], DayHours]]]


class Gateway:
    """All slots of this process and what they share. ``read_days`` gives the calendar's overrides."""

    def __init__(
        self, config: UpstreamConfig, redis_url: str, cap: LineCap, read_days: ReadDays | None = None
    ) -> None:
        self._config = config
        self._client = connect(redis_url)
        self._bus = Bus(
            self._client,
            last_interval=config.last_value_interval,
            on_refused=self._doubt,
            on_down=self._announce,
        )
        self._inbox = Inbox(self._client)
        self._calendar = MarketCalendar(config.calendar)
        self._read_days = read_days
        owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._slots = [
            SlotOwner(
                config,
                key,
                bus=self._bus,
                inbox=self._inbox,
                owner=owner,
                cap=cap,
                traded=self._traded,
            )
            for key in config.keys
        ]
        self._own = {slot.slot: slot for slot in self._slots}
        self._placement = Placement()
        self._leased: dict[str, float] = {}
        self._wanted: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; leases are released and the last status is written on the way out."""
        async with asyncio.TaskGroup() as shared:
            loops = [shared.create_task(self._bus.write()), shared.create_task(self._inbox.listen())]
            if self._read_days is not None:
                loops.append(shared.create_task(self._follow_days(self._read_days)))
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

    def _announce(self) -> None:
        """Look at every slot at once: a bus that is away for less than a status leaves a gap as well."""
        for slot in self._slots:
            slot.announce()

    def _doubt(self, name: str) -> None:
        for slot in self._slots:
            if slot.slot == name:
                slot.doubt()

    def _traded(self, start: float, end: float, topics: Iterable[str]) -> bool:
        first, last = (datetime.fromtimestamp(at, UTC) for at in (start, end))
        return self._calendar.opens_between(first, last, venues_of(topics))

    async def _follow(self) -> None:
        """Read wishes, commands and the other slots, and spread the wishes over the slots, for ever."""
        while True:
            owned = [slot for slot in self._slots if slot.upstream is not None]
            try:
                async with asyncio.timeout(TIMEOUT):
                    self._wanted = await self._inbox.wanted()
                    for slot in owned:
                        await slot.obey()
                    await self._place(await self._inbox.seen(self._own))
            except (RedisError, OSError, TimeoutError):
                pass  # the writing side says that Redis is away; the last wishes and places stay in force
            self._distribute(owned)
            await self._inbox.next_poll()

    async def _place(self, seen: Seen) -> None:
        """Decide where each item goes if this process owns the first slot; follow the decision otherwise."""
        seats = self._seats(seen)
        decider = self._own.get(next(iter(seats), ""))
        if decider is None or decider.upstream is None or not decider.lease.held:
            await self._take_over(self._placement, seen.placement or self._placement)
            return
        before = seen.placement or self._placement
        items = dict.fromkeys(split_topic(topic)[1] for topic in self._wanted)
        placement = place(items, seats, before)
        if placement == seen.placement or await self._inbox.publish_placement(decider.lease, placement):
            await self._take_over(before, placement)

    async def _take_over(self, before: Placement, placement: Placement) -> None:
        """Put ``placement`` in force; items that come from another slot bring the gap they had there.

        Nothing is awaited from the first gap taken over until the items are asked for: a row in between would
        end a gap of items that are not registered yet.
        """
        moves = []
        for slot in self._slots:
            here = set(placement.items.get(slot.slot, ())).difference(before.items.get(slot.slot, ()))
            for other, items in before.items.items():
                if (moved := here.intersection(items)) and (flow := await self._inbox.flow(other)):
                    moves.append((slot, flow, moved))
        self._placement = placement
        for slot, flow, moved in moves:
            slot.adopt(flow, moved)

    def _seats(self, seen: Seen) -> dict[str, Seat]:
        """Return the slots that some process owns.

        A Redis that lost everything has lost the placement too. Leases that were seen within their TTL then
        count as alive, since their owners have just not written them anew.
        """
        now = time.monotonic()
        self._leased |= dict.fromkeys(seen.holders, now)
        intact = seen.placement is not None
        seats = {}
        for name in seen.slots:
            slot = self._own.get(name)
            session = slot.upstream.session if slot is not None and slot.upstream is not None else None
            recently = now - self._leased.get(name, float("-inf")) < self._config.lease_ttl
            if slot is not None and session is not None and slot.lease.held:
                view = session.view(now)
                works = view.state is not State.PARKED and str(view.breaker) == "closed"
                seats[name] = Seat(view.places.capacity, works)
            elif name in seen.holders or (recently and not intact):
                seats[name] = self._seat(seen.statuses.get(name))
        return seats

    def _seat(self, status: GatewayStatus | None) -> Seat:
        if status is None:
            return Seat(self._config.items_per_connection)
        works = status.session != State.PARKED and status.breaker == "closed"
        return Seat(status.capacity, works)

    def _distribute(self, owned: list[SlotOwner]) -> None:
        at = datetime.now(UTC)
        first = next((slot.slot for slot in owned), "")
        if self._placement.items:
            first = next(iter(self._placement.items))
        for slot in owned:
            if slot.upstream is None:
                continue
            here = self._placement.items.get(slot.slot, ())
            order = {item: number for number, item in enumerate(here)}
            if slot.slot == first:
                # The first slot asks for what has no place too, so that its planner names it.
                order |= {item: len(order) + number for number, item in enumerate(self._placement.homeless)}
            topics = [topic for topic in self._wanted if split_topic(topic)[1] in order]
            topics.sort(key=lambda topic: order[split_topic(topic)[1]])
            slot.want(topics, self._placement.elsewhere(slot.slot))
            venues = {venue for venue in Venue if self._calendar.is_open(at, [venue])}
            slot.upstream.market(
                is_open=bool(venues & venues_of(topics)),
                trading=frozenset(topic for topic in topics if venues & venues_of([topic])),
            )

    async def _follow_days(self, read: ReadDays) -> None:
        """Read the days entered by hand, for ever; while they cannot be read the last ones stay in force."""
        failing = False
        while True:
            try:
                async with asyncio.timeout(DAYS_TIMEOUT):
                    self._calendar.override(await read())
                if failing:
                    logger.warning("market days can be read again")
                failing = False
            except Exception as error:  # noqa: BLE001 - whatever a database driver raises, the gateway goes on
                if not failing:
                    logger.warning(
                        "market days cannot be read (%s); the last ones stay", type(error).__name__
                    )
                failing = True
            await asyncio.sleep(DAYS_EVERY)
