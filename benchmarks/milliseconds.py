"""Tasks of a known length. delivery.py puts this file into app/tasks/ of a rendered service."""

import time

from app.core.celery import celery_app


@celery_app.task(name="milliseconds.wait")
def wait(milliseconds: float) -> None:
    time.sleep(milliseconds / 1000)
