"""Ownership of a slot: a Redis lease with a fencing number that grows even when Redis comes back empty."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis

from gateway import keys
from gateway.bus import TIMEOUT

#: Seconds after which a standby that stopped reporting no longer counts.
STANDBY_TTL = 5.0
#: A clock that also counts while this process is stopped, and where there is one, while the machine sleeps.
CLOCK: Final[Callable[[], float]] = (
    functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)

# KEYS: lease, fence, slots. ARGV: owner, TTL in ms, slot. Returns {fence or 0, holder}. Taking over and
# renewing are one step, so that two processes can never both believe they hold the lease.
_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder then
  local owner, fence = string.match(holder, '^(.*)|(%d+)$')
  if owner ~= ARGV[1] then return {0, holder} end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {tonumber(fence), holder}
end
local time = redis.call('TIME')
local fence = math.floor(time[1] * 1000 + time[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if fence <= last then fence = last + 1 end
local text = string.format('%.0f', fence)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. text, 'PX', ARGV[2])
redis.call('SADD', KEYS[3], ARGV[3])
return {fence, ARGV[1] .. '|' .. text}
"""
_RELEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and string.match(holder, '^(.*)|') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """The lease of ``slot`` as seen by ``owner`` (a text unique to one process). TTL in seconds."""

    def __init__(
        self, client: Redis, slot: str, owner: str, ttl: float, *, clock: Callable[[], float] = CLOCK
    ) -> None:
        self.slot = slot
        self._client = client
        self._owner = owner
        self._clock = clock
        self._ttl = ttl
        self._ttl_ms = int(ttl * 1000)
        self._expires = float("-inf")
        self._keys = [keys.LEASE.format(slot=slot), keys.FENCE.format(slot=slot), keys.SLOTS]
        self._standby = keys.STANDBY.format(slot=slot)
        self.fence = 0
        self.holder = ""

    @property
    def held(self) -> bool:
        """Whether the lease was confirmed within its TTL, by this process's own clock.

        A process that slept knows from this alone that it may no longer speak for the slot.
        """
        return self._clock() < self._expires

    @property
    def text(self) -> str:
        """What Redis holds under the lease's key while the lease is ours."""
        return f"{self._owner}|{self.fence}"

    async def acquire(self) -> bool:
        """Take or renew the lease; false when another process holds it (then ``holder`` names it).

        After a true answer ``fence`` is the number to stamp rows with. It changes when the lease had lapsed.

        Raises:
            redis.RedisError, TimeoutError: Redis does not answer; nothing is known about the lease.
        """
        asked = self._clock()  # the TTL runs from some moment after this one
        fence, holder = await self._eval(_ACQUIRE, self._keys, self._owner, self._ttl_ms, self.slot)
        self.holder = holder.decode().rpartition("|")[0]
        if fence:
            self.fence = int(fence)
        self._expires = asked + self._ttl if fence else float("-inf")
        return bool(fence)

    async def release(self) -> None:
        """Give the lease up, if it is ours.

        Raises:
            redis.RedisError, TimeoutError: Redis does not answer; the lease ends with its TTL.
        """
        self._expires = float("-inf")
        await self._eval(_RELEASE, self._keys[:1], self._owner)

    async def stand_by(self) -> None:
        """Report this process as a standby.

        Raises:
            redis.RedisError, TimeoutError: Redis does not answer.
        """
        async with asyncio.timeout(TIMEOUT):
            await self._client.zadd(self._standby, {self._owner: time.time()})
            await self._client.expire(self._standby, 60)

    async def standbys(self) -> int:
        """Return how many other processes stand by.

        Raises:
            redis.RedisError, TimeoutError: Redis does not answer.
        """
        oldest = time.time() - STANDBY_TTL
        async with asyncio.timeout(TIMEOUT), self._client.pipeline(transaction=False) as pipe:
            pipe.execute_command("ZREMRANGEBYSCORE", self._standby, "-inf", oldest)
            pipe.execute_command("ZREM", self._standby, self._owner)
            pipe.execute_command("ZCARD", self._standby)
            return int((await pipe.execute())[-1])

    async def _eval(self, script: str, names: list[str], *arguments: str | int) -> Any:
        async with asyncio.timeout(TIMEOUT):
            return await self._client.eval(script, len(names), *names, *arguments)
