"""A worker that is told to stop lets its tasks end for so many seconds; the rest then goes back to its queue.

Celery offers the two apart: SIGTERM waits for tasks without a limit, and SIGQUIT sleeps through the whole limit, even
where all have ended in its first second.
"""

import os
import signal
import threading

import structlog
from celery.signals import worker_shutting_down

from app.core.config.celery import get_celery_settings

logger = structlog.stdlib.get_logger(__name__)


@worker_shutting_down.connect
def _limit_warm_shutdown(how: str, **_: object) -> None:
    if how == "Warm":
        limit = threading.Timer(get_celery_settings().worker_soft_shutdown_timeout, _hand_back)
        limit.daemon = True
        limit.start()


def _hand_back() -> None:
    logger.warning("what has not ended goes back to its queue")
    os.kill(os.getpid(), signal.SIGQUIT)
