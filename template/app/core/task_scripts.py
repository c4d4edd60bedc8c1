"""The steps of a task's message in Redis, each one script, so no crash finds a message between two places.

A message is in a queue (a list), or held by a worker under a lease, or done with. kombu takes two commands to move it
from the one to the other, and loses what a killed worker had just popped.

The record of a task names the one message that counts for it (its `tag`): a copy, or one that a retry has replaced, is
dropped when it is received. Each time that a message is handed out has a name of its own, a delivery; who still goes by
an earlier one can do nothing to the message any more.

The clock is the server's. What takes memory comes before what frees it in each script: where Redis is full, a script
stops at its first command, with nothing moved. Scripts reach keys that they do not declare, so no Redis Cluster.
"""

from kombu.transport.redis import Channel

from app.core.task_keys import RECORD_SECONDS, list_key, record_key

BELL = "queues:bell"
"""A list in the broker's database: workers that found nothing wait for an element, which each push leaves here."""
OPEN = list_key("open")
"""A sorted set there: ids of the tasks whose message is neither acknowledged nor dropped, by the time of the first."""

_COMMON = f"""
local HELD, LEASES, OPEN, BELL = '{Channel.unacked_key}', '{Channel.unacked_index_key}', '{OPEN}', '{BELL}'
local RECENT = '{list_key("recent")}'
local RECORD, RECORD_SECONDS = '{record_key("")}', {RECORD_SECONDS}

local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1e6
end

local function ring()
  redis.call('LPUSH', BELL, 1)
  redis.call('LTRIM', BELL, 0, 99)
end

-- the list of that kind of an owner's tasks
local function list_of(owner, kind)
  return kind .. ':of:' .. owner
end

local function list_task(id, owner, kind)
  redis.call('ZADD', kind, 'NX', now(), id)
  if owner then redis.call('ZADD', list_of(owner, kind), 'NX', now(), id) end
end

local function unlist_task(id, owner, kind)
  redis.call('ZREM', kind, id)
  if owner then redis.call('ZREM', list_of(owner, kind), id) end
end

local function trim(owner, kind, seconds)
  redis.call('ZREMRANGEBYSCORE', kind, '-inf', now() - seconds)
  if owner then redis.call('ZREMRANGEBYSCORE', list_of(owner, kind), '-inf', now() - seconds) end
end

-- what failed is remembered for longer
local function note_end(id, seconds)
  local owner, failed = unpack(redis.call('HMGET', RECORD .. id, 'owner', 'failed'))
  unlist_task(id, owner, OPEN)
  redis.call('HSET', RECORD .. id, 'ended', '1')
  if not failed then redis.call('EXPIRE', RECORD .. id, seconds) end
end

-- tag, id and owner of a task's message; nothing for an answer to `celery inspect`, and for junk
local function read(payload)
  local ok, message = pcall(cjson.decode, payload)
  if not ok or type(message) ~= 'table' then return end
  if type(message.headers) ~= 'table' or type(message.properties) ~= 'table' then return end
  local tag, id = message.properties.delivery_tag, message.headers.id
  if type(tag) ~= 'string' or type(id) ~= 'string' then return end
  if string.find(tag, '[^ -~]') or string.find(id, '%c') then return end
  local owner = message.headers.owner
  if type(owner) == 'string' and owner ~= '' then return tag, id, owner end
  return tag, id
end

-- the queue of a held message, the id of its task, and the message; nothing unless this delivery still holds it
local function held_by(delivery)
  local held = redis.call('HGET', HELD, delivery)
  if held then return string.match(held, '^([^\\n]*)\\n([^\\n]*)\\n(.*)$') end
end

local function tag_of(delivery)
  return string.match(delivery, '^(.*)/[%d.]+$')
end

local function let_go(delivery, id)
  redis.call('HDEL', HELD, delivery)
  redis.call('ZREM', LEASES, delivery)
  if redis.call('HGET', RECORD .. id, 'delivery') == delivery then redis.call('HDEL', RECORD .. id, 'delivery') end
end

local function give_back(delivery)
  local queue, id, payload = held_by(delivery)
  if not queue then return 0 end
  redis.call('RPUSH', queue, payload)
  ring()
  let_go(delivery, id)
  return 1
end
"""


def _script(steps: str) -> str:
    return _COMMON + steps


_ENTER = """
-- the task's record, with the fields from ARGV[first] on, and the lists in which it is found;
-- what beat queues, day and night, would bury the others in that of recent tasks
local function enter(id, owner, seconds, first, by_beat)
  local record = RECORD .. id
  for i = first, #ARGV, 2 do redis.call('HSETNX', record, ARGV[i], ARGV[i + 1]) end
  if owner then redis.call('HSETNX', record, 'owner', owner) end
  redis.call('HDEL', record, 'delivery', 'ended')
  redis.call('EXPIRE', record, RECORD_SECONDS)
  list_task(id, owner, OPEN)
  if not by_beat then
    list_task(id, owner, RECENT)
    trim(owner, RECENT, seconds)
  end
end

local function push(queue, payload, seconds, first, by_beat)
  local tag, id, owner = read(payload)
  enter(id, owner, seconds, first, by_beat)
  redis.call('HSET', RECORD .. id, 'tag', tag, 'queue', queue, 'message', payload)
  redis.call('LPUSH', queue, payload)
  ring()
end

local function check(payload)
  local tag, id = read(payload)
  if tag then return id end
  return nil, redis.error_reply('ERR no message of a task that Redis can read: its id, or what is in it')
end

-- the answer to a caller whose task is not to be queued, or nothing
local function refuse(id, owner, limit, claim, claim_is_for, claim_seconds)
  local claimed = claim ~= '' and redis.call('GET', claim)
  if claimed then
    local task, is_for = string.match(claimed, '^(%S+) (.*)$')
    return is_for == claim_is_for and {'claimed', task} or {'reused', task}
  end
  if owner and limit ~= '' then
    redis.call('ZREMRANGEBYSCORE', list_of(owner, OPEN), '-inf', now() - RECORD_SECONDS)
    if redis.call('ZCARD', list_of(owner, OPEN)) >= tonumber(limit) then return {'full', ''} end
  end
  if claim ~= '' then redis.call('SET', claim, id .. ' ' .. claim_is_for, 'EX', claim_seconds) end
end
"""

PUSH = _script(
    _ENTER
    + """
-- KEYS: queue; ARGV: payload, seconds for which what ended is kept, whether it is beat's (pushed once only), fields
local id, unreadable = check(ARGV[1])
if not id then return unreadable end
if ARGV[3] == '1' and redis.call('EXISTS', RECORD .. id) == 1 then return 0 end
push(KEYS[1], ARGV[1], ARGV[2], 4, ARGV[3] == '1')
return 1
"""
)

ENQUEUE = _script(
    _ENTER
    + """
-- a new task of a caller's; KEYS: queue, claim or ''; ARGV: payload, seconds for which what ended is kept,
-- most unfinished tasks of its owner or '', what the claim is for, seconds of the claim, fields of the record
local id, unreadable = check(ARGV[1])
if not id then return unreadable end
if redis.call('EXISTS', RECORD .. id) == 1 then return {'queued', id} end
local _, _, owner = read(ARGV[1])
local refused = refuse(id, owner, ARGV[3], KEYS[2], ARGV[4], ARGV[5])
if refused then return refused end
push(KEYS[1], ARGV[1], ARGV[2], 6)
return {'queued', id}
"""
)

ENTER = _script(
    _ENTER
    + """
-- the same where the message goes to another broker; KEYS: claim or ''; ARGV: id, seconds for which what ended is
-- kept, most unfinished tasks of its owner or '', what the claim is for, seconds of the claim, owner or '', fields
local owner = ARGV[6] ~= '' and ARGV[6]
local refused = refuse(ARGV[1], owner, ARGV[3], KEYS[1], ARGV[4], ARGV[5])
if refused then return refused end
enter(ARGV[1], owner, ARGV[2], 7)
return {'queued', ARGV[1]}
"""
)

RECEIVE = _script("""
-- KEYS: queues, in the order in which to look; ARGV: seconds of the lease
for _, queue in ipairs(KEYS) do
  while true do
    local payload = redis.call('LINDEX', queue, -1)
    if not payload then break end
    local tag, id = read(payload)
    if not tag then
      redis.call('RPOP', queue)
      return {queue, payload}
    end
    local record = RECORD .. id
    local counts, delivery = unpack(redis.call('HMGET', record, 'tag', 'delivery'))
    if not counts and redis.call('EXISTS', record) == 0 then -- sent by a program that keeps no records
      redis.call('HSET', record, 'tag', tag)
      redis.call('EXPIRE', record, RECORD_SECONDS)
      counts = tag
    end
    if counts == tag and not (delivery and redis.call('HEXISTS', HELD, delivery) == 1) then
      -- with the time, for two servers may count alike while a failover lasts
      delivery = tag .. '/' .. redis.call('HINCRBY', record, 'deliveries', 1) .. '.' .. redis.call('TIME')[2]
      redis.call('HSET', HELD, delivery, queue .. '\\n' .. id .. '\\n' .. payload)
      redis.call('ZADD', LEASES, now() + ARGV[1], delivery)
      redis.call('HSET', record, 'delivery', delivery)
      redis.call('RPOP', queue)
      return {queue, payload, delivery}
    end
    redis.call('RPOP', queue) -- a copy of one that is held, has ended, or was sent anew
  end
end
return false
""")

NOTE_START = _script("""
-- KEYS: record; ARGV: field that counts the starts, delivery by which the task came, id of the task that began it all
local delivery = ARGV[2]
if delivery ~= '' then -- without Redis as broker there is none
  local tag, started, ended = unpack(redis.call('HMGET', KEYS[1], 'tag', 'started', 'ended'))
  if ended or redis.call('HEXISTS', HELD, delivery) == 0 or (tag and tag ~= tag_of(delivery)) then return false end
  if started == delivery then redis.call('HINCRBY', KEYS[1], ARGV[1], -1) end -- asked again: the answer was lost
  redis.call('HSET', KEYS[1], 'started', delivery)
end
local number = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], RECORD_SECONDS)
local cancelled = redis.call('HEXISTS', KEYS[1], 'cancelled') + redis.call('HEXISTS', RECORD .. ARGV[3], 'cancelled')
return {number, cancelled}
""")

SETTLE = _script("""
-- ARGV: delivery, seconds for which what ended is kept
local _, id = held_by(ARGV[1])
if not id then return 0 end
if redis.call('HGET', RECORD .. id, 'tag') == tag_of(ARGV[1]) then
  redis.call('HDEL', RECORD .. id, 'tag', 'queue', 'message')
  note_end(id, ARGV[2])
end
let_go(ARGV[1], id)
return 1
""")

NOTE_END = _script("""
-- where another broker settles the message; ARGV: id, seconds for which what ended is kept
if redis.call('EXISTS', RECORD .. ARGV[1]) == 1 then note_end(ARGV[1], ARGV[2]) end
""")

NOTE_FAILURE = _script(f"""
-- ARGV: id, arguments as JSON or ''
local FAILED, record = '{list_key("failed")}', RECORD .. ARGV[1]
if redis.call('EXISTS', record) == 0 then return end
redis.call('HSET', record, 'failed', '1')
-- of one that has put others in its place they are known already
if (redis.call('HGET', record, 'arguments') or '') == '' then redis.call('HSET', record, 'arguments', ARGV[2]) end
redis.call('EXPIRE', record, RECORD_SECONDS)
local owner = redis.call('HGET', record, 'owner')
list_task(ARGV[1], owner, FAILED)
trim(owner, FAILED, RECORD_SECONDS)
""")

NOTE_REPLACEMENT = _script("""
-- ARGV: id, arguments as JSON
if redis.call('EXISTS', RECORD .. ARGV[1]) == 1 then redis.call('HSETNX', RECORD .. ARGV[1], 'arguments', ARGV[2]) end
""")

NOTE_CANCELLATION = _script(f"""
-- ARGV: id
local CANCELLED, record = '{list_key("cancelled")}', RECORD .. ARGV[1]
if redis.call('EXISTS', record) == 0 then return end
redis.call('HSET', record, 'cancelled', '1')
local owner = redis.call('HGET', record, 'owner')
list_task(ARGV[1], owner, CANCELLED)
trim(owner, CANCELLED, RECORD_SECONDS)
if owner then redis.call('ZREM', list_of(owner, OPEN), ARGV[1]) end
""")

NOTE_REPLAY = _script(f"""
-- ARGV: id of a task that failed, id of the new one
redis.call('HSET', RECORD .. ARGV[1], 'replayed_as', ARGV[2])
unlist_task(ARGV[1], redis.call('HGET', RECORD .. ARGV[1], 'owner'), '{list_key("failed")}')
""")

GIVE_BACK = _script("""
-- ARGV: delivery
return give_back(ARGV[1])
""")

HAND_BACK = _script("""
-- ARGV: delivery, field that counts the starts, whether also what was started
local _, id = held_by(ARGV[1])
if not id then return 0 end
if redis.call('HGET', RECORD .. id, 'started') == ARGV[1] then
  if ARGV[3] == '0' then return 0 end
  redis.call('HINCRBY', RECORD .. id, ARGV[2], -1)
end
return give_back(ARGV[1])
""")

RENEW = _script("""
-- ARGV: seconds, deliveries
for i = 2, #ARGV do redis.call('ZADD', LEASES, 'XX', now() + ARGV[1], ARGV[i]) end
""")

RECOVER = _script("""
-- KEYS: all queues; ARGV: seconds between two looks, seconds without one that mean an outage,
-- seconds in which holders come back from it, seconds of a lease, most messages
local time, last = now(), tonumber(redis.call('GET', 'leases:checked'))
local since = last and time - last or 0
if last and since >= 0 and since < tonumber(ARGV[1]) then return false end -- another worker has just looked
redis.call('SET', 'leases:checked', time)
-- the clock was set back, where something was promised for later than can be: the rest lies as far ahead
local latest = time + ARGV[4]
for _, delivery in ipairs(redis.call('ZRANGE', LEASES, string.format('(%.17g', latest), '+inf', 'BYSCORE')) do
  redis.call('ZADD', LEASES, latest, delivery)
end
if tonumber(redis.call('GET', 'leases:trusted') or 0) > time + ARGV[3] then redis.call('DEL', 'leases:trusted') end
if redis.call('HLEN', HELD) > redis.call('ZCARD', LEASES) then -- somebody has deleted leases
  for _, delivery in ipairs(redis.call('HKEYS', HELD)) do redis.call('ZADD', LEASES, 'NX', latest, delivery) end
end
-- where nobody could look (Redis was away, or every worker), nobody may have been able to renew
if since > tonumber(ARGV[2]) then redis.call('SET', 'leases:trusted', time + ARGV[3]) end
local back = 0
if time >= tonumber(redis.call('GET', 'leases:trusted') or 0) then
  for _, delivery in ipairs(redis.call('ZRANGE', LEASES, '-inf', time, 'BYSCORE', 'LIMIT', 0, ARGV[5])) do
    local given_back = give_back(delivery)
    if given_back == 0 then redis.call('ZREM', LEASES, delivery) end -- a lease on nothing
    back = back + given_back
  end
end
local there = redis.call('HLEN', HELD)
for _, queue in ipairs(KEYS) do there = there + redis.call('LLEN', queue) end
return {back, redis.call('ZCARD', OPEN) - there}
""")

PUSH_AGAIN = _script("""
-- ARGV: id, tag
local record = RECORD .. ARGV[1]
local tag, queue, payload, delivery = unpack(redis.call('HMGET', record, 'tag', 'queue', 'message', 'delivery'))
if tag ~= ARGV[2] or not payload then return 0 end
if delivery and redis.call('HEXISTS', HELD, delivery) == 1 then return 0 end
redis.call('LPUSH', queue, payload)
redis.call('HDEL', record, 'delivery')
ring()
return 1
""")
