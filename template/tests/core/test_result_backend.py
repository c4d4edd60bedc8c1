"""What Celery stores of a task, and what it stores besides for us."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from app.core.celery import celery_app

BACKEND: Any = celery_app.backend
PROGRESS = {"current": 1, "total": 2, "message": "half"}


def test_start_and_progress_are_kept_with_the_outcome() -> None:
    request = SimpleNamespace(started_at=datetime(2026, 5, 4, tzinfo=UTC), progress=PROGRESS)
    meta = BACKEND._get_result_meta(7, "SUCCESS", None, request)
    assert (meta["status"], meta["result"]) == ("SUCCESS", 7)
    assert (meta["started_at"], meta["progress"]) == ("2026-05-04T00:00:00+00:00", PROGRESS)


def test_a_task_without_progress_has_none() -> None:
    meta = BACKEND._get_result_meta(7, "SUCCESS", None, SimpleNamespace())
    assert (meta["started_at"], meta["progress"]) == (None, None)


def test_queueing_subscribes_to_nothing() -> None:
    BACKEND.on_task_call(None, "0198c7a4")
    assert not BACKEND.result_consumer.subscribed_to
