"""What the gateway reads from Redis: wishes, commands, and how the slots of all processes stand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import keys, scripts
from gateway.bus import RECONNECT_CAP, RECONNECT_FIRST, TIMEOUT, Holder
from gateway.gaps import Flow
from gateway.placement import Placement
from gateway.status import GatewayStatus

#: Wishes read from all processes, and processes read.
MAX_WISHES = 20_000
MAX_PROCESSES = 1_000
MAX_SLOTS = 100
#: Seconds between two polls, and the least when clients' wishes change all the time.
POLL, POLL_LEAST = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asked of a slot; ``raw`` is the entry of the queue."""

    verb: str
    reason: str
    raw: bytes | str


@dataclass(frozen=True, slots=True)
class Seen:
    """All slots in order, who holds each lease (its text), each status, and the placement."""

    slots: tuple[str, ...]
    holders: dict[str, str]
    statuses: dict[str, GatewayStatus]
    placement: Placement | None


class Inbox:
    """Reads that the owner's process repeats. Callers bound them with ``asyncio.timeout``.

    Raises:
        redis.RedisError: from every reading method, when Redis does not answer.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._poll_now = asyncio.Event()

    async def listen(self) -> None:
        """Poll for wishes as soon as a web process says that they changed, for ever."""
        pause = RECONNECT_FIRST
        while True:
            try:
                async with self._client.pubsub() as channel:
                    async with asyncio.timeout(TIMEOUT):
                        await channel.subscribe(keys.WANTED_CHANNEL)
                    pause = RECONNECT_FIRST
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=30.0):
                            self._poll_now.set()
            except (RedisError, OSError):
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                pause = min(RECONNECT_CAP, pause * 2)

    async def next_poll(self) -> None:
        """Wait until it is time to read again."""
        await asyncio.sleep(POLL_LEAST)
        try:
            async with asyncio.timeout(POLL):
                await self._poll_now.wait()
        except TimeoutError:
            pass
        self._poll_now.clear()

    async def wanted(self) -> list[str]:
        """Return the topics that any web process wants."""
        names: list[bytes] = []
        async for name in self._client.scan_iter(match=keys.WANTED.format(process="*"), count=1000):
            names.append(name)
            if len(names) == MAX_PROCESSES:
                break
        raws = await self._client.mget(sorted(names)) if names else []
        topics: dict[str, None] = {}
        for raw in raws:
            topics |= dict.fromkeys(_topics(raw))
        return list(topics)[:MAX_WISHES]

    async def commands(self, slot: str) -> list[Command]:
        """Return the commands queued for a slot, oldest first; they stay queued until :meth:`done`."""
        name = keys.COMMANDS.format(slot=slot)
        return [_command(raw) for raw in await self._client.lrange(name, -keys.COMMANDS_MAX, -1)]

    async def done(self, slot: str, commands: Iterable[Command], held: str) -> None:
        """Take away ``commands`` that were carried out; ``held`` is why the breaker is held open now."""
        name, reason = keys.COMMANDS.format(slot=slot), keys.HELD.format(slot=slot)
        async with self._client.pipeline(transaction=True) as pipe:
            for command in commands:
                pipe.execute_command("LREM", name, 1, command.raw)
            if any(command.verb.endswith("_breaker") for command in commands):
                pipe.execute_command(*(("SET", reason, held) if held else ("DEL", reason)))
            await pipe.execute()

    async def remember_held(self, slot: str, held: str) -> None:
        """Write why the breaker is held open, or that nobody does so (empty)."""
        name = keys.HELD.format(slot=slot)
        await (self._client.set(name, held) if held else self._client.delete(name))

    async def held(self, slot: str) -> str:
        """Return why a person keeps the slot's breaker open, empty when nobody does."""
        return _text(await self._client.get(keys.HELD.format(slot=slot)) or b"")

    async def seen(self, own: Iterable[str]) -> Seen:
        """Return how the slots of all processes stand; ``own`` are among them even when nobody owned them."""
        known = [_text(raw) for raw in await self._client.smembers(keys.SLOTS)]
        # Every process has to see the same order: the first slot's owner decides.
        slots = sorted({*own, *known[:MAX_SLOTS]}, key=lambda slot: (len(slot), slot))
        names = [name.format(slot=slot) for name in (keys.LEASE, keys.STATUS) for slot in slots]
        *raws, placed = await self._client.mget([*names, keys.PLACEMENT])
        holders = {slot: _text(raw) for slot, raw in zip(slots, raws, strict=False) if raw}
        statuses = {}
        for slot, raw in zip(slots, raws[len(slots) :], strict=True):
            try:
                if raw:
                    statuses[slot] = GatewayStatus.decode(raw)
            except ValueError:
                continue  # a process of another version: its slot counts as one without a status
        try:
            placement = Placement.decode(placed) if placed else None
        except ValueError:
            placement = None
        return Seen(tuple(slots), holders, statuses, placement)

    async def flow(self, slot: str) -> Flow | None:
        """Return what the last owner of ``slot`` left."""
        raw = await self._client.get(keys.FLOW.format(slot=slot))
        try:
            return Flow.decode(raw) if raw else None
        except ValueError:
            return None

    async def publish_placement(self, holder: Holder, placement: Placement) -> bool:
        """Write the placement for all processes, if ``holder``'s lease is still valid; returns whether."""
        names = (keys.LEASE.format(slot=holder.slot), keys.PLACEMENT)
        words = (holder.text, placement.encode(), keys.WANTED_CHANNEL)
        return bool(await self._client.eval(scripts.PLACE, len(names), *names, *words))


def _text(raw: bytes | str) -> str:
    return raw if isinstance(raw, str) else raw.decode()


def _topics(raw: bytes | str | None) -> list[str]:
    try:
        listed = orjson.loads(raw or b"[]")
    except orjson.JSONDecodeError:
        return []
    if not isinstance(listed, list):
        return []
    return [topic for topic in listed if isinstance(topic, str) and len(topic) <= 110 and ":" in topic[1:]]


def _command(raw: bytes | str) -> Command:
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        return Command("", "", raw)
    by = f" (by {data['by']})" if data.get("by") else ""
    return Command(str(data.get("verb", "")), f"{data.get('reason', '')}{by}"[:300], raw)
