"""The record of a task as workers use it: they count its starts there, and learn whether it was cancelled."""

import time
from functools import cache
from typing import Any, NamedTuple

import structlog
from redis import ConnectionError as RedisConnectionError
from redis import TimeoutError as RedisTimeoutError

from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.worker_redis import records_client

logger = structlog.stdlib.get_logger(__name__)

OUTAGES = (RedisConnectionError, RedisTimeoutError)


NOTE_START = """
-- KEYS: record; ARGV: field that counts the starts, seconds of a record
local number = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {number, redis.call('HEXISTS', KEYS[1], 'cancelled')}
"""


class Start(NamedTuple):
    number: int
    """1 unless a worker was lost, or its acknowledgement, since the task was queued or last tried again."""
    cancelled: bool


@cache
def _note_start() -> Any:
    return records_client().register_script(NOTE_START)


def note_start(task_id: str, retries: int) -> Start:
    """Count a start of the task; waits for Redis while it is away, for a task is not to fail for that."""
    while True:
        try:
            number, cancelled = _note_start()(keys=[record_key(task_id)], args=[_starts(retries), RECORD_SECONDS])
            return Start(number, cancelled=bool(cancelled))
        except OUTAGES as error:
            logger.warning("a task waits for Redis before it starts", error=repr(error))
            time.sleep(1)


def forget_start(task_id: str, retries: int) -> None:
    """For a task that is handed back in good order: its worker was not lost."""
    records_client().hincrby(record_key(task_id), _starts(retries), -1)


def _starts(retries: int) -> str:
    return f"starts:{retries}"
