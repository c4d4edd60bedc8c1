"""A task's message on its way through Redis: each step is one script, so no crash finds a message between two places.

A message is in a queue (a list), or held by a worker under a lease, or done with. kombu takes two commands to move it
from the one to the other, and loses what a killed worker had just popped.

The record of a task names the one message that counts for it (its `tag`): a copy, or one that a retry has replaced, is
dropped when it is received. Each time that a message is handed out has a name of its own, a delivery; who still goes by
an earlier one can do nothing to the message any more.

The clock is the server's. What takes memory comes before what frees it in each script: where Redis is full, a script
stops at its first command, with nothing moved. Scripts reach keys that they do not declare, so no Redis Cluster.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kombu.transport.redis import Channel
from kombu.utils.json import dumps
from redis import Redis

from app.core.task_keys import RECORD_SECONDS, record_key

LEASE_SECONDS = 10.0
"""How long a message stays with a worker that has stopped to renew its lease."""
BELL = "queues:bell"
"""A list in the broker's database: workers that found nothing wait for an element, which each push leaves here."""
OPEN = "tasks:open"
"""A sorted set there: ids of the tasks whose message is neither acknowledged nor dropped, by the time of its push."""
PAGE = 1_000
"""Messages that are looked at in one step."""

_COMMON = f"""
local HELD, LEASES, OPEN, BELL = '{Channel.unacked_key}', '{Channel.unacked_index_key}', '{OPEN}', '{BELL}'

local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1e6
end

local function ring()
  redis.call('LPUSH', BELL, 1)
  redis.call('LTRIM', BELL, 0, 99)
end

-- tag and id of a task's message; nothing for an answer to `celery inspect`, and for junk
local function read(payload)
  local ok, message = pcall(cjson.decode, payload)
  if not ok or type(message) ~= 'table' then return end
  if type(message.headers) ~= 'table' or type(message.properties) ~= 'table' then return end
  local tag, id = message.properties.delivery_tag, message.headers.id
  if type(tag) ~= 'string' or type(id) ~= 'string' then return end
  if not string.find(tag, '[^ -~]') and not string.find(id, '%c') then return tag, id end
end

-- the queue of a held message, the id of its task, and the message; nothing unless this delivery still holds it
local function held_by(delivery)
  local held = redis.call('HGET', HELD, delivery)
  if held then return string.match(held, '^([^\\n]*)\\n([^\\n]*)\\n(.*)$') end
end

local function let_go(delivery, id)
  redis.call('HDEL', HELD, delivery)
  redis.call('ZREM', LEASES, delivery)
  if redis.call('HGET', 'task:' .. id, 'delivery') == delivery then redis.call('HDEL', 'task:' .. id, 'delivery') end
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

PUSH = (
    _COMMON
    + """
-- KEYS: queue; ARGV: payload, seconds, whether the id may be pushed once only, fields of the record
local tag, id = read(ARGV[1])
if not tag then return redis.error_reply('ERR no message of a task that Redis can read: its id, or what is in it') end
local record = 'task:' .. id
if ARGV[3] == '1' and redis.call('EXISTS', record) == 1 then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSETNX', record, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', record, 'tag', tag, 'queue', KEYS[1], 'message', ARGV[1])
redis.call('HDEL', record, 'delivery')
redis.call('EXPIRE', record, ARGV[2])
redis.call('ZADD', OPEN, now(), id)
redis.call('LPUSH', KEYS[1], ARGV[1])
ring()
return 1
"""
)

RECEIVE = (
    _COMMON
    + """
-- KEYS: queues, in the order in which to look; ARGV: seconds of the lease, seconds of a record
for _, queue in ipairs(KEYS) do
  while true do
    local payload = redis.call('LINDEX', queue, -1)
    if not payload then break end
    local tag, id = read(payload)
    if not tag then
      redis.call('RPOP', queue)
      return {queue, payload}
    end
    local record = 'task:' .. id
    local counts, delivery = unpack(redis.call('HMGET', record, 'tag', 'delivery'))
    if not counts and redis.call('EXISTS', record) == 0 then -- sent by a program that keeps no records
      redis.call('HSET', record, 'tag', tag)
      redis.call('EXPIRE', record, ARGV[2])
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
"""
)

SETTLE = (
    _COMMON
    + """
-- ARGV: delivery
local _, id = held_by(ARGV[1])
if not id then return 0 end
if redis.call('HGET', 'task:' .. id, 'tag') == string.match(ARGV[1], '^(.*)/[%d.]+$') then
  redis.call('HDEL', 'task:' .. id, 'tag', 'queue', 'message')
  redis.call('ZREM', OPEN, id)
end
let_go(ARGV[1], id)
return 1
"""
)

GIVE_BACK = (
    _COMMON
    + """
-- ARGV: delivery
return give_back(ARGV[1])
"""
)

HAND_BACK = (
    _COMMON
    + """
-- ARGV: delivery, field that counts the starts, whether also what was started
local _, id = held_by(ARGV[1])
if not id then return 0 end
if redis.call('HGET', 'task:' .. id, 'started') == ARGV[1] then
  if ARGV[3] == '0' then return 0 end
  redis.call('HINCRBY', 'task:' .. id, ARGV[2], -1)
end
return give_back(ARGV[1])
"""
)

RENEW = (
    _COMMON
    + """
-- ARGV: seconds, deliveries
for i = 2, #ARGV do redis.call('ZADD', LEASES, 'XX', now() + ARGV[1], ARGV[i]) end
"""
)

RECOVER = (
    _COMMON
    + """
-- KEYS: all queues; ARGV: seconds between two looks, seconds without one that mean an outage,
-- seconds in which holders come back from it, seconds of a lease, most messages
local time, last = now(), tonumber(redis.call('GET', 'leases:checked'))
local since = last and time - last
if since and since >= 0 and since < tonumber(ARGV[1]) then return false end -- another worker has just looked
redis.call('SET', 'leases:checked', time)
-- where nobody could look (Redis was away, or every worker), nobody may have been able to renew
if since and since > tonumber(ARGV[2]) then redis.call('SET', 'leases:trusted', time + ARGV[3]) end
local back, held = 0, redis.call('HLEN', HELD)
if held > redis.call('ZCARD', LEASES) then -- somebody has deleted leases
  for _, delivery in ipairs(redis.call('HKEYS', HELD)) do redis.call('ZADD', LEASES, 'NX', time + ARGV[4], delivery) end
end
if time >= tonumber(redis.call('GET', 'leases:trusted') or 0) then
  for _, delivery in ipairs(redis.call('ZRANGE', LEASES, '-inf', time, 'BYSCORE', 'LIMIT', 0, ARGV[5])) do
    if give_back(delivery) == 0 then redis.call('ZREM', LEASES, delivery) end
    back = back + 1
  end
end
local there = redis.call('HLEN', HELD)
for _, queue in ipairs(KEYS) do there = there + redis.call('LLEN', queue) end
return {back, redis.call('ZCARD', OPEN) - there}
"""
)

PUSH_AGAIN = (
    _COMMON
    + """
-- ARGV: id, tag
local record = 'task:' .. ARGV[1]
local tag, queue, payload, delivery = unpack(redis.call('HMGET', record, 'tag', 'queue', 'message', 'delivery'))
if tag ~= ARGV[2] or not payload then return 0 end
if delivery and redis.call('HEXISTS', HELD, delivery) == 1 then return 0 end
redis.call('LPUSH', queue, payload)
redis.call('HDEL', record, 'delivery')
ring()
return 1
"""
)

_TAG = re.compile(rb'"delivery_tag": ?"([^"]+)"')


class Received(NamedTuple):
    queue: str
    """The list that it was in."""
    payload: bytes
    delivery: str | None
    """By which it is held from now on; None for what is no task's message, and is held by nobody."""


class Recovered(NamedTuple):
    given_back: int
    """Messages whose lease had lapsed."""
    missing: int
    """Messages that ought to be in a queue or held, and are not; fewer where others wait that have no record."""


def queue_lists(queues: Sequence[str]) -> list[str]:
    """The lists of these queues, one a priority: the most urgent of all queues first."""
    return [
        f"{queue}{Channel.sep}{priority}" if priority else queue
        for priority in Channel.priority_steps
        for queue in queues
    ]


def push_command(queue: str, message: Mapping[str, Any], record: Mapping[str, str]) -> list[Any]:
    """What EVAL has to be given to push a task's message, as kombu would have written it, to the list `queue`."""
    once = "1" if message["properties"].get("once") else "0"
    fields = [text for field in record.items() for text in field]
    return [PUSH, 1, queue, dumps(message), RECORD_SECONDS, once, *fields]


def receive_command(lists: Sequence[str]) -> list[Any]:
    return [RECEIVE, len(lists), *lists, LEASE_SECONDS, RECORD_SECONDS]


def read_received(answer: list[bytes] | None) -> Received | None:
    if not answer:
        return None
    queue, payload, *delivery = answer
    return Received(queue.decode(), payload, delivery[0].decode() if delivery else None)


class Deliveries:
    """The steps, for a blocking client of the broker's database that leaves bytes as they are."""

    def __init__(self, broker: Redis) -> None:
        self._broker: Any = broker  # its stubs allow for any kind of answer

    def push(self, queue: str, message: Mapping[str, Any], record: Mapping[str, str]) -> None:
        self._broker.eval(*push_command(queue, message, record))

    def receive(self, lists: Sequence[str]) -> Received | None:
        """The next message, held from now on; None where there is nothing."""
        return read_received(self._broker.eval(*receive_command(lists)))

    def settle(self, delivery: str) -> None:
        """The message is done with."""
        self._broker.eval(SETTLE, 0, delivery)

    def give_back(self, delivery: str) -> None:
        """Put it where it is received next."""
        self._broker.eval(GIVE_BACK, 0, delivery)

    def hand_back(self, delivery: str, starts_field: str, *, also_started: bool) -> None:
        """Give it back in good order: where its task was started, that does not count."""
        self._broker.eval(HAND_BACK, 0, delivery, starts_field, "1" if also_started else "0")

    def renew(self, deliveries: Sequence[str]) -> None:
        if deliveries:
            self._broker.eval(RENEW, 0, LEASE_SECONDS, *deliveries)

    def recover(self, lists: Sequence[str], every: float, outage: float, patience: float) -> Recovered | None:
        """Give back what nobody holds any more; None when that was done less than `every` seconds ago.

        Not done for longer than `outage` seconds, it lets holders renew their leases for `patience` seconds first.
        The cost grows with the lists and with what is given back, not with what waits.
        """
        found = self._broker.eval(RECOVER, len(lists), *lists, every, outage, patience, LEASE_SECONDS, PAGE)
        return Recovered(*found) if found else None

    def push_missing(self, lists: Sequence[str]) -> Iterator[int]:
        """Push again what is neither in a queue nor held; yields after each page how many that were.

        Looks at every message that waits. What moves meanwhile may be pushed a second time: the copy is dropped.
        """
        began, _ = self._broker.time()
        waiting: set[bytes] = set()
        for queue in lists:
            for start in range(0, self._broker.llen(queue), PAGE):
                page = self._broker.lrange(queue, start, start + PAGE - 1)
                waiting.update(found[1] for payload in page if (found := _TAG.search(payload)))
                yield 0
        ids = self._broker.zrangebyscore(OPEN, "-inf", began)
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            pipeline = self._broker.pipeline(transaction=False)
            for task_id in page:
                pipeline.hget(record_key(task_id.decode()), "tag")
            pushed = 0
            for task_id, tag in zip(page, pipeline.execute(), strict=True):
                if tag is None:  # its record has expired
                    self._broker.zrem(OPEN, task_id)
                elif tag not in waiting:
                    pushed += self._broker.eval(PUSH_AGAIN, 0, task_id, tag)
            yield pushed
