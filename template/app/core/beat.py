"""The scheduler of the beat process: of all that are started one is at work, and what it has queued it notes in Redis.

So the schedule survives a restart, on any machine, and a second beat does no harm: it stands by until the first one is
gone. Even where two believe for a moment that they are at work, an entry's run is queued once: both give the task the
same id, made from the entry and its last run.
"""

import socket
import time
import uuid
from datetime import datetime
from typing import Any

import structlog
from celery import beat
from redis.exceptions import LockError, RedisError

from app.core.task_keys import BEAT_LOCK, BEATS, FIRST_SEEN, LAST_RUNS
from app.core.worker_redis import results_client

logger = structlog.stdlib.get_logger(__name__)
CeleryScheduler: Any = beat.Scheduler  # its stubs lack most of it

LOCK_SECONDS = 10.0
"""After which another beat takes over from one that has died."""
RUNS = uuid.UUID("0b7e5f0e-6d55-4c0b-8a3e-1f1f6a3d9a55")
"""Namespace of the ids of scheduled tasks: https://docs.python.org/3/library/uuid.html#uuid.uuid5"""


class Scheduler(CeleryScheduler):  # type: ignore[misc]
    max_interval = 2.0
    """Seconds between two signs of life, at most."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._redis: Any = results_client()
        self._lock = self._redis.lock(BEAT_LOCK, timeout=LOCK_SECONDS, blocking=False)
        self._at_work = False

    def setup_schedule(self) -> None:
        self.install_default_entries(self.data)
        self.merge_inplace(self.app.conf.beat_schedule)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        try:
            self._redis.zadd(BEATS, {socket.gethostname(): time.time()})
            if not self._take_lock():
                return self.max_interval
            pause: float = super().tick(*args, **kwargs)
            return min(pause, self.max_interval)
        except RedisError as error:
            logger.warning("beat waits for Redis", error=repr(error))
            return self.max_interval

    def _take_lock(self) -> bool:
        was_at_work, self._at_work = self._at_work, False
        if was_at_work:
            try:
                self._lock.reacquire()
            except LockError:
                logger.warning("another beat has taken over; this one stands by")
            else:
                self._at_work = True
        elif self._lock.acquire():
            logger.info("this beat is at work")
            self._read_last_runs()
            self._at_work = True
        return self._at_work

    def _read_last_runs(self) -> None:
        for name, entry in self.schedule.items():
            self._redis.hsetnx(FIRST_SEEN, name, self.app.now().isoformat())
            since = self._redis.hget(LAST_RUNS, name) or self._redis.hget(FIRST_SEEN, name)
            entry.last_run_at = datetime.fromisoformat(since)
        self._heap = None  # made anew by the next tick

    def apply_async(self, entry: Any, *args: Any, **kwargs: Any) -> Any:
        task_id = str(uuid.uuid5(RUNS, f"{entry.name} after {entry.last_run_at.isoformat()}"))
        options = {**entry.options, "task_id": task_id, "once": True}  # see PUSH in task_delivery.py
        result = super().apply_async(self.Entry(**{**dict(entry), "options": options}), *args, **kwargs)
        self._redis.hset(LAST_RUNS, entry.name, self.schedule[entry.name].last_run_at.isoformat())
        return result

    def close(self) -> None:
        super().close()
        try:
            self._redis.zrem(BEATS, socket.gethostname())
            if self._at_work:
                self._lock.release()
        except RedisError:
            return
