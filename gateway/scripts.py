"""Lua that Redis runs for the gateway, so that checking an owner and writing for it are one step."""

from __future__ import annotations

from typing import Final

#: Rows and last values, written only while the lease is the writer's.
#: KEYS: lease, hash of last values. ARGV: the lease's text, the number of words of last values, those words
#: (topic, value), then pairs of channel and message. Returns 0 when the lease is another's or gone.
PUBLISH: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local values = tonumber(ARGV[2])
for i = 3, 2 + values, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
for i = 3 + values, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return 1
"""

#: A status and what the next owner has to know. An owner that slept through its lease must not speak for the
#: slot any more, but one that has just released it may say goodbye: the fence decides, not the lease.
#: KEYS: status, fence, flow. ARGV: the status' fence, the status, its TTL in seconds, the channel, the flow
#: (empty: unchanged), its TTL.
TELL: Final = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[2])
if ARGV[5] ~= '' then redis.call('SET', KEYS[3], ARGV[5], 'EX', ARGV[6]) end
return 1
"""

#: An entry for a bounded list of the slot, newest first, checked like TELL.
#: KEYS: list, fence. ARGV: the writer's fence, 1 to replace the newest entry, the entry, the most entries, a
#: channel that repeats it (empty: none).
NOTE: Final = """
if tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[1]) then return 0 end
if ARGV[2] == '1' then redis.call('LPOP', KEYS[1]) end
redis.call('LPUSH', KEYS[1], ARGV[3])
redis.call('LTRIM', KEYS[1], 0, ARGV[4] - 1)
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[5], ARGV[3]) end
return 1
"""

#: The placement, written only by the owner of the slot that decides.
#: KEYS: lease, placement. ARGV: the lease's text, the placement, the channel that makes the others look.
PLACE: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('PUBLISH', ARGV[3], '')
return 1
"""
