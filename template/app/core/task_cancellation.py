"""Workers end what was cancelled: a running task is asked first, see BaseTask.is_aborted(), and then terminated."""

import time
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from celery.signals import worker_ready
from celery.worker import state
from redis.exceptions import RedisError

from app.core.config.celery import get_celery_settings
from app.core.task_record import are_cancelled

logger = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS = 1.0


class Cancellation:
    """Of the tasks that run in this worker. Nothing has to be told to it: whoever was away looks when it is back."""

    def __init__(self, pool: Any, grace: float) -> None:
        self._pool = pool
        self._grace = grace
        self._asked: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        """Since when each of them has known."""

    def look(self) -> None:
        running: list[Any] = list(state.active_requests)
        if not running:
            return
        try:
            cancelled = are_cancelled(running)
        except RedisError as error:
            logger.warning("it is not known which tasks were cancelled", error=repr(error))
            return
        now = time.monotonic()
        for request, is_cancelled in zip(running, cancelled, strict=True):
            if is_cancelled and now - self._asked.setdefault(request, now) >= self._grace:
                self._terminate(request)

    def _terminate(self, request: Any) -> None:
        try:
            request.terminate(self._pool, signal="SIGTERM")
        except NotImplementedError:  # threads cannot be ended: only its outcome is left out
            self._asked[request] = float("inf")
            logger.warning("a cancelled task runs on, for its pool cannot end it", task_id=request.id)
        else:
            logger.info("terminated a cancelled task", task_id=request.id)


@worker_ready.connect
def _look_for_cancelled(sender: Any, **_: object) -> None:
    cancellation = Cancellation(sender.pool, get_celery_settings().cancel_grace)
    sender.timer.call_repeatedly(LOOK_SECONDS, cancellation.look)
