"""The record of a task as workers use it: they count its starts there, and learn whether it was cancelled."""

import time
from typing import Any, NamedTuple

import structlog

from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.task_scripts import NOTE_START
from app.core.worker_redis import OUTAGES, records_client

logger = structlog.stdlib.get_logger(__name__)


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
