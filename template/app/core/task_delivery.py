"""A task's message on its way through Redis: each step is one script, so no crash finds a message between two places.

A message is in a queue (a list), or held by a worker under a lease, or done with. kombu takes two commands to move it
from the one to the other, and loses what a killed worker had just popped. The record of a task names the one message
that counts for it (its `tag`); a second copy, or one that a retry has replaced, is dropped when it is received.

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

local function give_back(tag)
  local held = redis.call('HGET', HELD, tag)
  if not held then return 0 end
  local queue, payload = string.match(held, '^([^\\n]*)\\n[^\\n]*\\n(.*)$')
  redis.call('RPUSH', queue, payload)
  ring()
  redis.call('HDEL', HELD, tag)
  redis.call('ZREM', LEASES, tag)
  return 1
end
"""

PUSH = f"""{_COMMON}
-- KEYS: queue; ARGV: id, tag, payload, seconds, whether the id may be pushed once only, fields of the record
local record = 'task:' .. ARGV[1]
if ARGV[5] == '1' and redis.call('EXISTS', record) == 1 then return 0 end
for i = 6, #ARGV, 2 do redis.call('HSETNX', record, ARGV[i], ARGV[i + 1]) end
redis.call('HSET', record, 'tag', ARGV[2], 'queue', KEYS[1], 'message', ARGV[3])
redis.call('EXPIRE', record, ARGV[4])
redis.call('ZADD', OPEN, now(), ARGV[1])
redis.call('LPUSH', KEYS[1], ARGV[3])
ring()
return 1
"""

RECEIVE = f"""{_COMMON}
-- KEYS: queues, in the order in which to look; ARGV: seconds of the lease, seconds of a record
for _, queue in ipairs(KEYS) do
  while true do
    local payload = redis.call('LINDEX', queue, -1)
    if not payload then break end
    local read, message = pcall(cjson.decode, payload)
    local tag, id
    if read and type(message) == 'table' and type(message.headers) == 'table'
        and type(message.properties) == 'table' then
      tag, id = message.properties.delivery_tag, message.headers.id
    end
    if type(tag) ~= 'string' or type(id) ~= 'string' then -- no task: an answer to `celery inspect`, or junk
      redis.call('RPOP', queue)
      return {{queue, payload}}
    end
    local record = 'task:' .. id
    local counts = redis.call('HGET', record, 'tag')
    if not counts and redis.call('EXISTS', record) == 0 then -- sent by a program that keeps no records
      redis.call('HSET', record, 'tag', tag)
      redis.call('EXPIRE', record, ARGV[2])
      counts = tag
    end
    local new = counts == tag and redis.call('HSETNX', HELD, tag, queue .. '\\n' .. id .. '\\n' .. payload) == 1
    if new then redis.call('ZADD', LEASES, now() + ARGV[1], tag) end
    redis.call('RPOP', queue)
    if new then return {{queue, payload}} end
  end
end
return false
"""

SETTLE = f"""{_COMMON}
-- ARGV: tag
local held = redis.call('HGET', HELD, ARGV[1])
if not held then return 0 end
local id = string.match(held, '^[^\\n]*\\n([^\\n]*)\\n')
if redis.call('HGET', 'task:' .. id, 'tag') == ARGV[1] then
  redis.call('HDEL', 'task:' .. id, 'tag', 'queue', 'message')
  redis.call('ZREM', OPEN, id)
end
redis.call('HDEL', HELD, ARGV[1])
redis.call('ZREM', LEASES, ARGV[1])
return 1
"""

GIVE_BACK = f"""{_COMMON}
-- ARGV: tag
return give_back(ARGV[1])
"""

RENEW = f"""{_COMMON}
-- ARGV: seconds, tags
for i = 2, #ARGV do redis.call('ZADD', LEASES, 'XX', now() + ARGV[1], ARGV[i]) end
"""

RECOVER = f"""{_COMMON}
-- KEYS: all queues; ARGV: seconds between two looks, seconds for holders to come back, most messages
local time, last = now(), tonumber(redis.call('GET', 'leases:checked'))
if last and time - last < tonumber(ARGV[1]) then return false end -- another worker has just looked
redis.call('SET', 'leases:checked', time)
-- where nobody could look (Redis was away, or every worker), nobody may have been able to renew
if last and time - last > tonumber(ARGV[2]) then redis.call('SET', 'leases:trusted', time + ARGV[2]) end
local back = 0
if time >= tonumber(redis.call('GET', 'leases:trusted') or 0) then
  for _, tag in ipairs(redis.call('ZRANGE', LEASES, '-inf', time, 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
    if give_back(tag) == 0 then redis.call('ZREM', LEASES, tag) end
    back = back + 1
  end
end
local there = redis.call('HLEN', HELD)
for _, queue in ipairs(KEYS) do there = there + redis.call('LLEN', queue) end
return {{back, redis.call('ZCARD', OPEN) - there}}
"""

PUSH_AGAIN = f"""{_COMMON}
-- ARGV: id, tag
local record = redis.call('HMGET', 'task:' .. ARGV[1], 'tag', 'queue', 'message')
if record[1] ~= ARGV[2] or redis.call('HEXISTS', HELD, ARGV[2]) == 1 then return 0 end
redis.call('LPUSH', record[2], record[3])
ring()
return 1
"""

_TAG = re.compile(r'"delivery_tag": ?"([^"]+)"')


class Recovered(NamedTuple):
    given_back: int
    """Messages whose lease had lapsed."""
    missing: int
    """Messages that ought to be in a queue or held, and are not; below 0 where others send without records."""


def queue_lists(queues: Sequence[str]) -> list[str]:
    """The lists of these queues, one a priority: the most urgent of all queues first."""
    return [
        f"{queue}{Channel.sep}{priority}" if priority else queue
        for priority in Channel.priority_steps
        for queue in queues
    ]


def push_arguments(queue: str, message: Mapping[str, Any], record: Mapping[str, str]) -> dict[str, Any]:
    """Keys and arguments of PUSH for a task's message, as kombu would have written it to the list `queue`."""
    task_id, properties = message["headers"]["id"], message["properties"]
    once = "1" if properties.get("once") else "0"
    fields = [text for field in record.items() for text in field]
    return {
        "keys": [queue],
        "args": [task_id, properties["delivery_tag"], dumps(message), RECORD_SECONDS, once, *fields],
    }


class Deliveries:
    """The steps, for a blocking client of the broker's database."""

    def __init__(self, broker: Redis) -> None:
        self._broker: Any = broker  # its stubs allow for any kind of answer
        self._push = broker.register_script(PUSH)
        self._receive = broker.register_script(RECEIVE)
        self._settle = broker.register_script(SETTLE)
        self._give_back = broker.register_script(GIVE_BACK)
        self._renew = broker.register_script(RENEW)
        self._recover = broker.register_script(RECOVER)
        self._push_again = broker.register_script(PUSH_AGAIN)

    def push(self, queue: str, message: Mapping[str, Any], record: Mapping[str, str]) -> None:
        self._push(**push_arguments(queue, message, record))

    def receive(self, lists: Sequence[str]) -> tuple[bytes, bytes] | None:
        """The list that it was in, and the message, held from now on; None where there is nothing."""
        received: tuple[bytes, bytes] | None = self._receive(keys=lists, args=[LEASE_SECONDS, RECORD_SECONDS])
        return received

    def settle(self, tag: str) -> None:
        """The message is done with."""
        self._settle(args=[tag])

    def give_back(self, tag: str) -> None:
        """Put it where it is received next."""
        self._give_back(args=[tag])

    def renew(self, tags: Sequence[str]) -> None:
        if tags:
            self._renew(args=[LEASE_SECONDS, *tags])

    def recover(self, lists: Sequence[str], every: float, patience: float) -> Recovered | None:
        """Give back what nobody holds any more; None when that was done less than `every` seconds ago.

        When it was not done for longer than `patience` seconds, holders get as long to renew their leases first.
        The cost grows with the lists and with what is given back, not with what waits.
        """
        found = self._recover(keys=lists, args=[every, patience, PAGE])
        return Recovered(*found) if found else None

    def push_missing(self, lists: Sequence[str]) -> Iterator[int]:
        """Push again what is neither in a queue nor held; yields after each page how many that were.

        Looks at every message that waits. What moves meanwhile may be pushed a second time: the copy is dropped.
        """
        waiting: set[str] = set()
        for queue in lists:
            for start in range(0, self._broker.llen(queue), PAGE):
                page = self._broker.lrange(queue, start, start + PAGE - 1)
                waiting.update(found[1] for text in page if (found := _TAG.search(_text(text))))
                yield 0
        ids = [_text(task_id) for task_id in self._broker.zrange(OPEN, 0, -1)]
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            pipeline = self._broker.pipeline(transaction=False)
            for task_id in page:
                pipeline.hget(record_key(task_id), "tag")
            pushed = 0
            for task_id, tag in zip(page, pipeline.execute(), strict=True):
                if tag is None:  # its record has expired
                    self._broker.zrem(OPEN, task_id)
                elif _text(tag) not in waiting:
                    pushed += self._push_again(args=[task_id, tag])
            yield pushed


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
