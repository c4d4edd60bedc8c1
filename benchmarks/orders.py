"""The task that clients queue. task_api.py puts this file into app/tasks/ of a rendered service."""

import time

from app.core.celery import celery_app


@celery_app.task(name="orders.confirm", exposed=True)
def confirm(*, number: int, email: str) -> float:  # noqa: ARG001 (they travel)
    """Takes 10 ms. Returns the time at which it ended."""
    time.sleep(0.01)
    return time.time()
