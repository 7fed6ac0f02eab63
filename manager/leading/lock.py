"""The lease as it lies in Redis, beside the highest fence: three scripts that compare the owner."""

from __future__ import annotations

import uuid
from typing import Any

from redis.asyncio import Redis

COUNTER = "lim:fence"
"""The highest fence of all leaders; tasks are moved under no lower one."""

ACQUIRE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
"""Take the lease if it is free.  It may be ours: an answer to an earlier try was lost."""

RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local fence, known = tonumber(ARGV[3]), tonumber(redis.call('GET', KEYS[2]) or 0)
if fence > 0 and known > fence then return 0 end
if fence > known then redis.call('SET', KEYS[2], ARGV[3]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""Prolong our lease, unless somebody else has it or has had it.  Raises the counter, which Redis may have forgotten."""

RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def lease_key(name: str) -> str:
    """Where the lease of the managers of one name lies."""
    return f"lim:lease:{name}"


class Lock:
    """One manager's hand on the lease; what it raises is redis-py's."""

    def __init__(self, redis: Redis, name: str, owner: str, lease_s: float) -> None:
        self._redis = redis
        self._key = lease_key(name)
        self._value = f"{uuid.uuid4().hex} {owner}"
        self._ms = int(lease_s * 1000)
        self._acquire, self._renew, self._release = map(redis.register_script, (ACQUIRE, RENEW, RELEASE))

    async def acquire(self) -> bool:
        """Whether the lease is ours now."""
        return bool(await self._acquire(keys=[self._key], args=[self._value, self._ms]))

    async def renew(self, fence: int) -> bool:
        """Whether the lease is ours still, with no fence known that is newer; 0 = none was taken yet."""
        return bool(await self._renew(keys=[self._key, COUNTER], args=[self._value, self._ms, fence]))

    async def release(self) -> None:
        """Let another have it at once; nothing where it is not ours."""
        await self._release(keys=[self._key], args=[self._value])

    async def highest(self) -> int:
        """The highest fence that Redis knows; 0 = it knows none, or has forgotten."""
        return int(await self._redis.get(COUNTER) or 0)

    async def owner(self) -> str:
        """Who has the lease; empty = nobody."""
        value: Any = await self._redis.get(self._key)
        text = value.decode() if isinstance(value, bytes) else value or ""
        return str(text).partition(" ")[2]
