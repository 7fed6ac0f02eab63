"""Lua that moves tasks: what all scripts share, with one way to run them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError

from manager.tasks import keys
from manager.tasks.task import MOVES, OPEN

NAMES = {
    "FENCE": keys.FENCE, "EVENTS": keys.EVENTS, "QUEUE": keys.QUEUE, "LATER": keys.LATER, "INDEXING": keys.INDEXING,
    "ALL": keys.ALL, "ENDED": keys.ENDED, "TURN": keys.TURN, "CLAIMED": keys.CLAIMED, "TASK": keys.TASK,
    "CONTENT": keys.CONTENT, "BUILT": keys.BUILT, "OF_STATUS": keys.OF_STATUS, "OF_LABEL": keys.OF_LABEL,
}  # fmt: skip

TABLES = "".join(f"local {name} = '{value}'\n" for name, value in NAMES.items()) + (
    f"local MOVES = cjson.decode('{json.dumps({one: dict.fromkeys(to, True) for one, to in MOVES.items()})}')\n"
    f"local OPEN = cjson.decode('{json.dumps(dict.fromkeys(sorted(OPEN), True))}')\n"
)

SHARED = """
local function get(id, name) return redis.call('HGET', TASK .. id, name) end
local function set(id, ...) redis.call('HSET', TASK .. id, ...) end
local function task(id) return {'task', redis.call('HGETALL', TASK .. id)} end
local function now() local t = redis.call('TIME') return tonumber(t[1]) + tonumber(t[2]) / 1000000 end
local function json(number) return string.format('%.6f', number) end
local function seat(id) local f = redis.call('HMGET', TASK .. id, 'turn', 'label') return f[1] .. ':' .. id .. ':' .. f[2] end
local function next_turn() return string.format('%016d', redis.call('INCR', TURN)) end
local function enqueue(id) redis.call('ZADD', QUEUE, 0 - tonumber(get(id, 'priority')), seat(id)) end

-- Whether another leads by now: its token.  A newer one is noted, so that an emptied Redis learns it again.
local function stale(fence)
  local newest = tonumber(redis.call('GET', FENCE) or '0')
  if fence < newest then return newest end
  if fence > newest then redis.call('SET', FENCE, fence) end
end

-- Why a leader's move of a task is refused, if it is.
local function refused(id, fence)
  local own = get(id, 'fence')
  local newest = stale(fence) or (own and tonumber(own) > fence and tonumber(own))
  if newest then return {'stale', newest} end
  if not own then return {'unknown'} end
end

-- What a person or a page is told of each change.
local function tell(id)
  local texts, others = {'label', 'status', 'stage'}, {'items', 'finished', 'rows_per_s', 'eta_s', 'priority', 'cancelling',
    'attempts', 'error_code'}
  local said = {'"task_id":' .. cjson.encode(id)}
  for i, value in ipairs(redis.call('HMGET', TASK .. id, unpack(texts))) do
    said[#said + 1] = '"' .. texts[i] .. '":' .. cjson.encode(value)
  end
  for i, value in ipairs(redis.call('HMGET', TASK .. id, unpack(others))) do
    said[#said + 1] = '"' .. others[i] .. '":' .. value
  end
  redis.call('PUBLISH', EVENTS, '{' .. table.concat(said, ',') .. '}')
end

local function enter(id, to, history)
  local f = redis.call('HMGET', TASK .. id, 'created', 'label', 'content', 'not_before')
  redis.call('ZADD', OF_STATUS .. to, f[1], id)
  if to == 'pending' then
    if tonumber(f[4]) > now() then redis.call('ZADD', LATER, f[4], id) else enqueue(id) end
  elseif to == 'indexing' then redis.call('HSET', INDEXING, f[2], id) end
  if OPEN[to] then
    if f[3] ~= '' then redis.call('SET', CONTENT .. f[3], id) end
    return
  end
  local t = now()
  set(id, 'ended', json(t), 'cancelling', 'false', 'not_before', '0.0')
  redis.call('ZADD', ENDED, t, id .. ':' .. f[2])
  redis.call('PEXPIRE', TASK .. id, history)
  if redis.call('GET', CONTENT .. f[3]) == id then redis.call('DEL', CONTENT .. f[3]) end
end

local function leave(id, from)
  redis.call('ZREM', OF_STATUS .. from, id)
  if from == 'pending' then
    redis.call('ZREM', QUEUE, seat(id))
    redis.call('ZREM', LATER, id)
  elseif from == 'indexing' then redis.call('HDEL', INDEXING, get(id, 'label'))
  else
    redis.call('ZREM', ENDED, id .. ':' .. get(id, 'label'))
    redis.call('PERSIST', TASK .. id)
  end
end

-- Forget what ended before a time: a hundred of them at once, so that nobody waits for it.
local function forget(before)
  for _, one in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', before, 'LIMIT', 0, 100)) do
    local id, label = string.match(one, '^([^:]+):(.*)$')
    redis.call('ZREM', ENDED, one)
    redis.call('ZREM', ALL, id)
    redis.call('ZREM', OF_LABEL .. label, id)
    for status in pairs(MOVES) do redis.call('ZREM', OF_STATUS .. status, id) end
    redis.call('DEL', TASK .. id)
  end
end

-- The one way from a state to another.  `history` = milliseconds that a task which has ended is remembered.
local function move(id, to, history, ...)
  local from = get(id, 'status')
  if not MOVES[from][to] then return {'over', from} end
  leave(id, from)
  set(id, 'status', to, ...)
  enter(id, to, history)
  tell(id)
  return task(id)
end
"""


class Script:
    """A Lua script over the shared functions; sent as its digest, and in full where the server does not know it yet."""

    def __init__(self, body: str) -> None:
        self.text = TABLES + SHARED + body
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, *arguments: str | float) -> Any:
        """Its reply; after a restart or a fail-over the server learns it again.  Raises RedisError."""
        client: Any = redis
        try:
            return await client.evalsha(self.sha, 0, *arguments)
        except NoScriptError:
            return await client.eval(self.text, 0, *arguments)

    def command(self, *arguments: str | float) -> tuple[str | float, ...]:
        """The words of the call, for a server that knows it."""
        return ("EVALSHA", self.sha, 0, *arguments)

    def queue(self, pipe: Pipeline, *arguments: str | float) -> None:
        """Put it into a pipeline, which raises NoScriptError where `learn` was not called before."""
        commands: Any = pipe
        commands.evalsha(self.sha, 0, *arguments)

    async def learn(self, redis: Redis) -> None:
        """Let the server know it."""
        client: Any = redis
        await client.script_load(self.text)
