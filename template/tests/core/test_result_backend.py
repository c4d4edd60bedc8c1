"""What Celery stores of a task, and what it stores besides for us."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.task import Context
from redis import Redis

from app.core.celery import celery_app
from app.core.task_keys import result_key

BACKEND: Any = celery_app.backend
PROGRESS = {"current": 1, "total": 2, "message": "half"}


def test_start_and_progress_are_kept_with_the_outcome() -> None:
    request = SimpleNamespace(
        started_at=datetime(2026, 5, 4, tzinfo=UTC), progress_reports=SimpleNamespace(newest=PROGRESS)
    )
    meta = BACKEND._get_result_meta(7, "SUCCESS", None, request)
    assert (meta["status"], meta["result"]) == ("SUCCESS", 7)
    assert (meta["started_at"], meta["progress"]) == ("2026-05-04T00:00:00+00:00", PROGRESS)


def test_a_task_without_progress_has_none() -> None:
    meta = BACKEND._get_result_meta(7, "SUCCESS", None, SimpleNamespace())
    assert (meta["started_at"], meta["progress"]) == (None, None)


def test_queueing_subscribes_to_nothing() -> None:
    BACKEND.on_task_call(None, "0198c7a4")
    assert not BACKEND.result_consumer.subscribed_to


@pytest.mark.parametrize("ended", ["SUCCESS", "FAILURE", "REVOKED"])
@pytest.mark.parametrize("late", ["STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"])
def test_what_has_ended_stays_as_it_ended(results: Redis, ended: str, late: str) -> None:
    BACKEND.store_result("0198c7a4", None, ended)
    BACKEND.store_result("0198c7a4", None, late)
    assert stored(results)["status"] == ended


def test_states_before_the_end_follow_one_another(results: Redis) -> None:
    for state in ("STARTED", "PROGRESS", "RETRY", "STARTED", "SUCCESS"):
        BACKEND.store_result("0198c7a4", None, state)
        assert stored(results)["status"] == state


def test_beginning_and_progress_stay_where_the_next_state_has_none(results: Redis) -> None:
    started_at = datetime(2026, 5, 4, tzinfo=UTC)
    known = SimpleNamespace(started_at=started_at, progress_reports=SimpleNamespace(newest=PROGRESS))
    BACKEND.store_result("0198c7a4", None, "PROGRESS", request=known)
    BACKEND.store_result("0198c7a4", None, "FAILURE", request=SimpleNamespace())
    assert stored(results)["started_at"] == started_at.isoformat()
    assert stored(results)["progress"] == PROGRESS


def test_a_state_is_told_to_those_who_listen_and_kept_for_a_while(results: Redis) -> None:
    with results.pubsub() as listener:  # type: ignore[no-untyped-call]  # redis-py
        listener.subscribe(result_key("0198c7a4"))
        listener.get_message(timeout=5)
        BACKEND.store_result("0198c7a4", 7, "SUCCESS")
        told = listener.get_message(timeout=5)
    assert json.loads(told["data"]) == stored(results)
    assert 0 < results.ttl(result_key("0198c7a4")) <= celery_app.conf.result_expires


@pytest.mark.parametrize("exposed", [True, False])
@pytest.mark.parametrize("ignored_by", ["the task", "its message"])
def test_the_end_of_an_exposed_task_is_kept_where_its_result_is_ignored(
    results: Redis, monkeypatch: pytest.MonkeyPatch, exposed: bool, ignored_by: str
) -> None:
    task = celery_app.tasks["system.heartbeat"]
    monkeypatch.setattr(type(task), "exposed", exposed)
    request = Context(id="0198c7a4", task=task.name, ignore_result=ignored_by == "its message")
    BACKEND.mark_as_done("0198c7a4", 7, request, ignored_by == "its message")
    if exposed:
        assert (stored(results)["status"], stored(results)["result"]) == ("SUCCESS", None)
    else:
        assert results.get(result_key("0198c7a4")) is None


def test_states_count_up(results: Redis) -> None:
    versions = []
    for state in ("STARTED", "PROGRESS", "SUCCESS"):
        BACKEND.store_result("0198c7a4", {"of": "a task"}, state)
        versions.append(stored(results)["version"])
    assert versions == [1, 2, 3]


def stored(results: Redis) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(str(results.get(result_key("0198c7a4"))))
    return meta
