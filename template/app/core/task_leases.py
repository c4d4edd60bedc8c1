"""Leases on messages: who holds one renews it, and what nobody renews goes back to its queue.

The process that runs a task renews its lease; the worker's main process renews those of all messages that it holds,
also while they wait there for their time. So a message comes back when both are gone, and only then.
"""

import os
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

import structlog
from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_ready
from redis.exceptions import RedisError

from app.core.config.celery import get_celery_settings
from app.core.task_delivery import Deliveries, queue_lists
from app.core.task_running import RENEW_SECONDS, Running
from app.core.worker_redis import messages_client

logger = structlog.stdlib.get_logger(__name__)

RECOVER_SECONDS = 2.0
"""Between two looks for lapsed leases; all workers together look that often."""
OUTAGE_SECONDS = 4.0
"""Where nobody looked for so long, Redis was away. A lease is longer than this and two renewals together ..."""
RETURN_SECONDS = 6.0
"""... and its holders have this long, three renewals, to come back."""
STUCK_SECONDS = 15.0
"""A worker that has room for a task, and has not looked for one for so long, connects anew; it looks every second."""


class Holder(Protocol):
    def held(self) -> list[str]:
        """The deliveries that are not acknowledged."""
        ...

    def seconds_idle(self) -> float:
        """Since the last look into the queues; 0 while there is no room for another message."""
        ...


class Leases:
    """What this process holds."""

    def __init__(self) -> None:
        self.running = Running(self._renew)
        self._forget()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._holder: Holder | None = None
        self._missing: Iterator[int] | None = None

    def follow(self, holder: Holder) -> None:
        """Renew what it holds, in place of what an earlier one did: a connection that was lost holds nothing."""
        self._holder = holder

    def renew_held(self) -> None:
        """ConnectionError, which makes the worker connect anew, where it is connected and yet receives nothing."""
        if self._holder is None:
            return
        self._renew(self._holder.held())
        if self._holder.seconds_idle() > STUCK_SECONDS:
            logger.error("the worker is connected, but does not look into its queues: it connects anew")
            raise ConnectionError("nothing was heard of the queues")

    def _renew(self, held: list[str]) -> None:
        try:
            deliveries().renew(held)
        except RedisError as error:
            logger.warning("leases could not be renewed", error=repr(error))

    def recover(self, app: Celery[Any]) -> None:
        """Give back what other workers left behind, and push again what Redis has lost."""
        lists = queue_lists(list(app.amqp.queues))
        try:
            if self._missing:
                self._push_missing(self._missing)
            recovered = deliveries().recover(lists, RECOVER_SECONDS * 0.9, OUTAGE_SECONDS, RETURN_SECONDS)
        except RedisError as error:
            logger.warning("no look for messages that were left behind", error=repr(error))
            return
        if recovered and recovered.given_back:
            logger.warning("messages of workers that are gone were given back", messages=recovered.given_back)
        if recovered and recovered.missing > 0 and not self._missing:
            self._missing = deliveries().push_missing(lists)

    def _push_missing(self, pages: Iterator[int]) -> None:
        for _ in range(10):  # a few of them at a time: the worker has other things to do
            pushed = next(pages, None)
            if pushed is None:
                self._missing = None
                return
            if pushed:
                logger.warning("messages that were missing in Redis were pushed again", messages=pushed)


leases = Leases()


@cache
def deliveries() -> Deliveries:
    return Deliveries(messages_client())


@worker_ready.connect
def _look_after_leases(sender: Any, **_: object) -> None:
    if get_celery_settings().broker_is_redis:
        sender.timer.call_repeatedly(RENEW_SECONDS, leases.renew_held)
        sender.timer.call_repeatedly(RECOVER_SECONDS, leases.recover, (sender.app,))


@task_prerun.connect
def _enter(task: Any, **_: object) -> None:
    if delivery := getattr(task, "delivery", None):
        leases.running.enter(delivery)


@task_postrun.connect
def _leave(task: Any, **_: object) -> None:
    if delivery := getattr(task, "delivery", None):
        leases.running.leave(delivery)
