"""One run of a task at a time, where the broker is not Redis; there the leases on messages see to it.

RabbitMQ hands a message out again as soon as the connection of its worker is gone, also while the task runs on. So a
start takes the task's turn, in Redis, and whoever comes meanwhile waits for it. It does not give the message back at
once, for RabbitMQ counts that, and drops a message after 20 times:
https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
"""

import time
import uuid
from typing import Any

import structlog
from celery import Task
from celery.exceptions import Reject
from celery.signals import task_postrun
from redis.exceptions import RedisError

from app.core.config.celery import get_celery_settings
from app.core.task_keys import turn_key
from app.core.task_record import ask_patiently
from app.core.task_running import Running
from app.core.worker_redis import records_client

logger = structlog.stdlib.get_logger(__name__)

TURN_SECONDS = 10
"""How long a turn lasts after its process has stopped to renew it."""
PATIENCE = 60
"""Seconds until the message is given back all the same."""

TAKE = """
-- KEYS: turn; ARGV: whose it is, seconds
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
"""
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('EXPIRE', KEYS[1], ARGV[2]) end"
END = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


def _renew(held: list[str]) -> None:
    try:
        for turn in held:
            key, whose = turn.split(" ")
            records_client().eval(RENEW, 1, key, whose, TURN_SECONDS)
    except RedisError as error:
        logger.warning("turns could not be renewed", error=repr(error))


_running = Running(_renew)


def take_turn(request: Any, task_id: str) -> None:
    """Return when no other run of the task is alive; Reject where one is for very long."""
    if get_celery_settings().broker_is_redis:
        return
    key, whose = turn_key(task_id), str(uuid.uuid4())
    for waited in range(PATIENCE):
        if ask_patiently(TAKE, 1, key, whose, TURN_SECONDS):
            request.turn = f"{key} {whose}"
            _running.enter(request.turn)
            return
        if not waited:
            logger.warning("the task runs elsewhere; this start waits for its end")
        time.sleep(1)
    raise Reject(requeue=True)


@task_postrun.connect
def _end_turn(task: Task[..., object], **_: object) -> None:
    if turn := getattr(task.request, "turn", None):
        _running.leave(turn)
        key, whose = turn.split(" ")
        ask_patiently(END, 1, key, whose)
