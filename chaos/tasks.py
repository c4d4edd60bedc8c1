"""The tasks that all designs run; each writes into the ledger when it starts and when it ends."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Task, shared_task

from chaos.ledger import ledger


@contextmanager
def recorded(task: Task[..., Any], key: str) -> Iterator[None]:
    """`key` says which of the tasks sent this is, whatever ids Celery gives it; `attempt`, which of its retries."""
    told = {"key": key, "id": task.request.id, "attempt": task.request.retries, "parent": os.getppid()}
    ledger().note("started", **told)
    try:
        yield
    except BaseException as error:
        ledger().note("left", **told, error=repr(error))
        raise
    ledger().note("ended", **told)


@shared_task(name="chaos.work", bind=True)
def work(self: Task[..., Any], *, key: str, seconds: float) -> str:
    with recorded(self, key):
        time.sleep(seconds)
    return key


@shared_task(name="chaos.retry", bind=True, max_retries=None)
def retry(self: Task[..., Any], *, key: str, times: int) -> str:
    with recorded(self, key):
        if self.request.retries < times:
            raise self.retry(countdown=1)
    return key


@shared_task(name="chaos.gather", bind=True)
def gather(self: Task[..., Any], results: list[str], *, key: str) -> int:
    """The body of a chord."""
    with recorded(self, key):
        return len(results)


@shared_task(name="chaos.tick", bind=True, ignore_result=True)
def tick(self: Task[..., Any]) -> None:
    """Queued by beat."""
    with recorded(self, "tick"):
        pass


SCHEDULE = {"chaos tick": {"task": "chaos.tick", "schedule": 1.0}}
UNTIL_IT_ANSWERS: dict[str, Any] = {
    "autoretry_for": (Exception,),
    "max_retries": 20,
    "retry_backoff": 1,
    "retry_backoff_max": 4,
}
INSERT = "INSERT INTO writes (key) VALUES (:key)"
