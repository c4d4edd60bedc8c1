"""Lets others know, without asking the workers, which of them are alive."""

import time
from typing import Any

from celery.signals import heartbeat_sent, worker_shutting_down
from redis.exceptions import RedisError

from app.core.task_keys import WORKERS
from app.core.worker_redis import results_client


@heartbeat_sent.connect
def _note_heartbeat(sender: Any, **_: object) -> None:
    try:
        results_client().zadd(WORKERS, {sender.eventer.hostname: time.time()})
    except RedisError:  # Celery says so itself, and tries again in 2 seconds
        return


@worker_shutting_down.connect
def _note_end(sender: Any, **_: object) -> None:
    try:
        results_client().zrem(WORKERS, sender)
    except RedisError:
        return
