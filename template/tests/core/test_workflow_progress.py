"""How far a whole workflow is, as its parts tell it."""

from collections.abc import Callable
from typing import Any

import pytest
from celery.app.task import Context
from redis import Redis

from app.core import workflow_progress
from app.core.celery import celery_app
from app.core.task_base import BaseTask
from app.core.task_keys import result_key
from app.core.workflow_progress import begin_workflow, finish_part
from app.tasks import system

TASK: BaseTask[..., Any] = system.heartbeat  # any will do


@pytest.fixture
def as_part(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the task believe that it runs under this id in that workflow."""

    def run_as(task_id: str | None, root_id: str | None = "root") -> None:
        monkeypatch.setattr(TASK, "_get_request", lambda: Context(id=task_id, root_id=root_id))

    return run_as


def progress() -> Any:
    return celery_app.backend.get_task_meta("root").get("progress")


def test_each_part_counts_once_however_often_it_runs(results: Redis, as_part: Callable[..., None]) -> None:
    as_part("root")
    begin_workflow(TASK, 3)
    for part, done in (("a", 1), ("b", 2), ("a", 2), ("c", 3)):
        as_part(part)
        finish_part(TASK, part)
        assert progress() == {"current": done, "total": 3, "message": part}


def test_no_more_parts_are_done_than_there_are(results: Redis, as_part: Callable[..., None]) -> None:
    """The worker of the first task was lost after it had begun: all parts are there a second time."""
    as_part("root")
    begin_workflow(TASK, 1)
    for part in ("a", "again a"):
        as_part(part)
        finish_part(TASK)
    assert progress()["current"] == 1


def test_a_workflow_that_begins_again_counts_anew(results: Redis, as_part: Callable[..., None]) -> None:
    for part in ("a", "again a"):
        as_part("root")
        begin_workflow(TASK, 2)
        as_part(part)
        finish_part(TASK)
    assert progress()["current"] == 1


def test_a_part_that_was_queued_on_its_own_tells_nothing(results: Redis, as_part: Callable[..., None]) -> None:
    as_part("a", "a")
    finish_part(TASK)
    assert results.get(result_key("a")) is None


def test_a_workflow_within_another_leaves_the_count_of_the_whole_alone(
    results: Redis, as_part: Callable[..., None]
) -> None:
    as_part("root")
    begin_workflow(TASK, 9)
    as_part("a")
    begin_workflow(TASK, 2)
    finish_part(TASK)
    assert progress() == {"current": 1, "total": 9, "message": ""}


def test_called_as_functions_they_write_nothing(results: Redis, as_part: Callable[..., None]) -> None:
    as_part(None, None)
    begin_workflow(TASK, 3)
    finish_part(TASK)
    assert results.keys() == []


def test_of_two_parts_that_end_together_the_count_of_both_stays(
    results: Redis, as_part: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_part("root")
    begin_workflow(TASK, 2)
    as_part("a")
    store_result, late = celery_app.backend.store_result, iter([True])

    def store_late(*args: Any, **options: Any) -> None:
        if next(late, False):  # the other part is counted, and told, between this one's count and its word
            as_part("b")
            finish_part(TASK)
            as_part("a")
        store_result(*args, **options)

    monkeypatch.setattr(celery_app.backend, "store_result", store_late)
    finish_part(TASK)
    assert progress()["current"] == 2


def test_no_part_fails_because_it_cannot_be_counted(
    results: Redis, as_part: Callable[..., None], monkeypatch: pytest.MonkeyPatch, refusing_url: str
) -> None:
    monkeypatch.setattr(workflow_progress, "results_client", lambda: Redis.from_url(refusing_url))
    as_part("root")
    begin_workflow(TASK, 2)
    as_part("a")
    finish_part(TASK)
    assert progress() is None
