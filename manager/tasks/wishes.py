"""What anybody may ask of tasks, one Lua script each; all may be repeated, since a reply can be lost."""

from __future__ import annotations

from manager.tasks.script import Script

SUBMIT = Script("""
-- id, content, label, again ('' = no), fingerprint that alone tells what an index holds whose options nobody knows, fields…
local id, content, label = ARGV[1], ARGV[2], ARGV[3]
-- Where nothing is submitted something is written all the same: WAIT waits for what this connection wrote.
local function answer(word, other)
  if redis.call('EXISTS', TASK .. other) == 1 then set(other, 'task_id', other) end
  return {word, other}
end
if redis.call('EXISTS', TASK .. id) == 1 then
  if get(id, 'content') ~= content or get(id, 'label') ~= label then return answer('taken', id) end
  set(id, 'task_id', id)
  return task(id)
end
local other = content ~= '' and redis.call('GET', CONTENT .. content)
if other then return answer('exists', other) end
local built = redis.call('HMGET', BUILT .. label, 'task_id', 'content', 'fingerprint')
if ARGV[4] == '' and built[1] then
  local same = content ~= '' and built[2] == content
  if same or (built[2] == '' and ARGV[5] ~= '' and built[3] == ARGV[5]) then return answer('indexed', built[1]) end
end
local created = json(now())
set(id, unpack(ARGV, 6))
set(id, 'status', 'pending', 'created', created, 'turn', next_turn())
redis.call('ZADD', ALL, created, id)
redis.call('ZADD', OF_LABEL .. label, created, id)
enter(id, 'pending', 0)
tell(id)
return task(id)
""")

CANCEL = Script("""
-- id, history, then what is set of a task that waits no longer
local id, status = ARGV[1], get(ARGV[1], 'status')
if not status then return {'unknown'} end
if status == 'cancelled' then return task(id) end
if status == 'pending' then return move(id, 'cancelled', ARGV[2], unpack(ARGV, 3)) end
if status ~= 'indexing' then return {'over', status} end
set(id, 'cancelling', 'true')
tell(id)
return task(id)
""")

RETRY = Script("""
-- id, then what is set of a task that waits again
local id, status = ARGV[1], get(ARGV[1], 'status')
if not status then return {'unknown'} end
if OPEN[status] then return task(id) end
local content = get(id, 'content')
local other = content ~= '' and redis.call('GET', CONTENT .. content)
if other then return {'exists', other} end
return move(id, 'pending', 0, 'turn', next_turn(), unpack(ARGV, 2))
""")

PRIORITISE = Script("""
-- id, priority
local id, status = ARGV[1], get(ARGV[1], 'status')
if not status then return {'unknown'} end
if not OPEN[status] then return {'over', status} end
set(id, 'priority', ARGV[2])
if redis.call('ZREM', QUEUE, seat(id)) == 1 then enqueue(id) end
tell(id)
return task(id)
""")

REMOVED = Script("""
-- label, index id: what was its newest index is gone, so that its content may be built again
if redis.call('HGET', BUILT .. ARGV[1], 'task_id') == ARGV[2] then redis.call('DEL', BUILT .. ARGV[1]) end
return {'done'}
""")
