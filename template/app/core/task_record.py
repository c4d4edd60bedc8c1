"""The record of a task as workers use it: what has become of it, and whether it was cancelled meanwhile."""

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import structlog
from kombu.utils.json import dumps

from app.core.config.celery import get_celery_settings
from app.core.task_keys import record_key
from app.core.task_scripts import NOTE_END, NOTE_FAILURE, NOTE_REPLACEMENT, NOTE_START
from app.core.worker_redis import OUTAGES, records_client

logger = structlog.stdlib.get_logger(__name__)


class Start(NamedTuple):
    number: int
    """1 unless a worker was lost, or its acknowledgement, since the task was queued or last tried again."""
    cancelled: bool
    """The task, or the one that began it all."""


def starts_field(retries: int) -> str:
    return f"starts:{retries}"


def note_start(task_id: str, retries: int, delivery: str | None, root_id: str | None = None) -> Start | None:
    """Count a start of the task; None where its message was handed to another worker since this one got it.

    Without Redis as broker there is no delivery.
    """
    answer = ask_patiently(NOTE_START, 1, record_key(task_id), starts_field(retries), delivery or "", root_id or "")
    return Start(answer[0], cancelled=bool(answer[1])) if answer else None


def note_failure(task_id: str, request: Any) -> None:
    """Put the task among those that failed for good, with its arguments, from which it can be replayed."""
    ask_patiently(NOTE_FAILURE, 0, task_id, _arguments(request))


def note_replacement(task_id: str, request: Any) -> None:
    """Keep the arguments of a task that hands its id on to another one: if that fails, this one is replayed."""
    ask_patiently(NOTE_REPLACEMENT, 0, task_id, _arguments(request))


def _arguments(request: Any) -> str:
    args, kwargs = getattr(request, "args", None), getattr(request, "kwargs", None)
    return dumps([args, kwargs]) if args is not None else ""


def note_end(task_id: str) -> None:
    """Where the broker is Redis, settling the message does so."""
    if not get_celery_settings().broker_is_redis:
        ask_patiently(NOTE_END, 0, task_id, get_celery_settings().result_expires)


def are_cancelled(requests: Iterable[Any]) -> list[bool]:
    """Each of them, or the task that began it all; RedisError where it is not known."""
    with records_client().pipeline(transaction=False) as pipeline:
        for request in requests:
            pipeline.hexists(record_key(request.id), "cancelled")
            pipeline.hexists(record_key(request.root_id or request.id), "cancelled")
        answers = iter(pipeline.execute())
        return [itself or root for itself, root in zip(answers, answers, strict=True)]


def ask_patiently(script: str, number_of_keys: int, *arguments: str | int) -> Any:
    """Wait for Redis while it is away, for a task is not to fail for that."""
    while True:
        try:
            return records_client().eval(script, number_of_keys, *arguments)
        except OUTAGES as error:
            logger.warning("a task waits for Redis, which keeps its record", error=repr(error))
            time.sleep(1)
