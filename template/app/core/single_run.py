"""One run of a task at a time, on all machines: a lock in Redis that its holder renews, and loses by dying."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from redis.exceptions import LockError, RedisError

from app.core.resources import UnavailableError
from app.core.task_base import BaseTask
from app.core.worker_redis import results_client

logger = structlog.stdlib.get_logger(__name__)

LEASE_SECONDS = 10.0
"""After which the lock of a holder that has died is free; ..."""
RENEW_SECONDS = 2.0
"""... and how often one that lives renews it."""


class AlreadyRunningError(Exception):
    """Another run has the lock. The task decides: leave it at that, or `self.retry(...)`."""


@contextmanager
def single_run(task: BaseTask[..., Any], subject: str = "") -> Iterator[threading.Event]:
    """Let one run of the task into the block, or one for each subject; AlreadyRunningError for all others.

    Gives an event that is set should the lock be lost: Redis was away for longer than the lease, or has forgotten it.
    So a lock saves work, and what it guards has to bear a second run all the same. UnavailableError, for which
    `with_db_init` tries the task again later, while Redis is away.
    """
    lock = results_client().lock(f"single-run:{task.name}:{subject}", timeout=LEASE_SECONDS, thread_local=False)
    try:
        _free_of_earlier_start(lock, task)
        if not lock.acquire(blocking=False, token=f"{task.request.id} {uuid.uuid4()}"):
            raise AlreadyRunningError(f"another run of {task.name} is at work")
    except RedisError as error:
        raise UnavailableError("Redis, which holds the locks, is not available; try again soon.") from error
    ended, lost = threading.Event(), threading.Event()
    renewal = threading.Thread(target=_renew, args=(lock, ended, lost), name="renew-lock", daemon=True)
    try:
        renewal.start()
        yield lost
    finally:
        ended.set()
        renewal.join()
        with suppress(RedisError):  # it was lost, or lapses by itself
            lock.release()


def _free_of_earlier_start(lock: Any, task: BaseTask[..., Any]) -> None:
    """A task whose worker was lost is started again, under its id, and need not wait for its own lock to lapse."""
    holder = lock.redis.get(lock.name)
    if task.request.id and holder and holder.startswith(task.request.id):
        with suppress(LockError):
            lock.do_release(holder)


def _renew(lock: Any, ended: threading.Event, lost: threading.Event) -> None:
    lapses_at = time.monotonic() + LEASE_SECONDS
    while not ended.wait(RENEW_SECONDS):
        asked_at = time.monotonic()
        try:
            lock.reacquire()
            lapses_at = asked_at + LEASE_SECONDS
        except RedisError as error:
            if isinstance(error, LockError) or time.monotonic() > lapses_at:
                logger.warning("a lock was lost", lock=lock.name, error=repr(error))
                lost.set()
                return
