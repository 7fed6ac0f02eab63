"""What only the leader does to tasks, one Lua script each; all may be repeated, since a reply can be lost."""

from __future__ import annotations

from manager.tasks.script import Script

CLAIM = Script("""
-- fence, indexer, token of this claim, history
local newest = stale(tonumber(ARGV[1]))
if newest then return {'stale', newest} end
local t = now()
forget(t - ARGV[4] / 1000)
local last = redis.call('HMGET', CLAIMED, 'token', 'id')
if last[1] == ARGV[3] and get(last[2], 'status') == 'indexing' then return task(last[2]) end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LATER, '-inf', t, 'LIMIT', 0, 100)) do
  redis.call('ZREM', LATER, id)
  enqueue(id)
end
local busy = {}
for _, label in ipairs(redis.call('HKEYS', INDEXING)) do busy[label] = true end
local first = 0
while true do
  local seats = redis.call('ZRANGE', QUEUE, first, first + 99)
  for _, place in ipairs(seats) do
    local id, label = string.match(place, '^%d+:([^:]+):(.*)$')
    if not busy[label] then
      local f = redis.call('HMGET', TASK .. id, 'started', 'attempts')
      local started = tonumber(f[1]) > 0 and f[1] or json(t)
      redis.call('HSET', CLAIMED, 'token', ARGV[3], 'id', id)
      return move(id, 'indexing', 0, 'fence', ARGV[1], 'indexer', ARGV[2], 'started', started, 'attempts', f[2] + 1,
        'stage', '', 'items', 0, 'finished', 0, 'rows_per_s', '0.0', 'eta_s', '-1.0', 'not_before', '0.0')
    end
  end
  if #seats < 100 then return {'none'} end
  first = first + 100
end
""")

ADOPT = Script("""
-- fence
local newest = stale(tonumber(ARGV[1]))
if newest then return {'stale', newest} end
local found = {'tasks'}
for _, id in ipairs(redis.call('HVALS', INDEXING)) do
  set(id, 'fence', ARGV[1])
  found[#found + 1] = redis.call('HGETALL', TASK .. id)
end
return found
""")

PROGRESS = Script("""
-- id, fence, then names and values
local refusal = refused(ARGV[1], tonumber(ARGV[2]))
if refusal then return refusal end
local status = get(ARGV[1], 'status')
if status ~= 'indexing' then return {'over', status} end
if ARGV[3] then
  set(ARGV[1], unpack(ARGV, 3))
  tell(ARGV[1])
end
return {'cancelling', get(ARGV[1], 'cancelling')}
""")

END = Script("""
-- id, fence, the state it goes to, history, then names and values.  Success makes it the newest index of its label.
local id, fence, to = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local refusal = refused(id, fence)
if refusal then return refusal end
local status, own = get(id, 'status'), tonumber(get(id, 'fence'))
-- A further attempt of what somebody wants to end is none.
if to == 'pending' and (get(id, 'cancelling') == 'true' or status == 'cancelled') then to = 'cancelled' end
if status == to and own == fence then return task(id) end
if status ~= 'indexing' then return {'over', status} end
local moved = move(id, to, ARGV[4], 'fence', ARGV[2], unpack(ARGV, 5))
if to == 'success' then
  local f = redis.call('HMGET', TASK .. id, 'label', 'fingerprint', 'content', 'rows', 'started', 'digest')
  redis.call('HSET', BUILT .. f[1], 'task_id', id, 'fingerprint', f[2], 'content', f[3], 'rows', f[4], 'created', f[5],
    'digest', f[6])
end
return moved
""")
