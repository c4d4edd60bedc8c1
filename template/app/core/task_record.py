"""The record of a task as workers use it: they count its starts there, and learn whether it was cancelled."""

import time
from typing import Any, NamedTuple

import structlog

from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.worker_redis import OUTAGES, records_client

logger = structlog.stdlib.get_logger(__name__)

NOTE_START = """
-- KEYS: record; ARGV: field that counts the starts, seconds of a record, delivery by which the task came
if ARGV[3] ~= '' then
  if redis.call('HGET', KEYS[1], 'delivery') ~= ARGV[3] then return false end
  if redis.call('HGET', KEYS[1], 'started') == ARGV[3] then -- asked again, for the answer was lost
    redis.call('HINCRBY', KEYS[1], ARGV[1], -1)
  end
  redis.call('HSET', KEYS[1], 'started', ARGV[3])
end
local number = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {number, redis.call('HEXISTS', KEYS[1], 'cancelled')}
"""


class Start(NamedTuple):
    number: int
    """1 unless a worker was lost, or its acknowledgement, since the task was queued or last tried again."""
    cancelled: bool


def starts_field(retries: int) -> str:
    return f"starts:{retries}"


def note_start(task_id: str, retries: int, delivery: str | None) -> Start | None:
    """Count a start of the task; None where its message was handed to another worker since this one got it.

    Waits for Redis while it is away, for a task is not to fail for that. Without Redis as broker there is no delivery.
    """
    command: list[Any] = [NOTE_START, 1, record_key(task_id), starts_field(retries), RECORD_SECONDS, delivery or ""]
    while True:
        try:
            answer: Any = records_client().eval(*command)
        except OUTAGES as error:
            logger.warning("a task waits for Redis before it starts", error=repr(error))
            time.sleep(1)
        else:
            return Start(answer[0], cancelled=bool(answer[1])) if answer else None
