"""What is known of a task, for each status."""

import json
from typing import Any

import pytest

from app.core.task_state import FIELDS, TaskState, cancelled_meta, read_task_state

NAME, QUEUED = "reports.activity", "2026-05-04T12:00:00+00:00"
STARTED = "2026-05-04T12:00:01+00:00"
ENDED = "2026-05-04T12:00:02+00:00"
RAISED = {"exc_type": "ValueError", "exc_message": ["no", 7], "exc_module": "builtins"}


def read(stored: dict[str, Any] | None, **record: str) -> TaskState:
    known = {"name": NAME, "owner": "shop", "queued_at": QUEUED} | record
    task = read_task_state("0198c7a4", [known.get(field) for field in FIELDS], json.dumps(stored) if stored else None)
    assert task
    return task


def test_a_task_without_a_record_is_unknown() -> None:
    assert read_task_state("0198c7a4", [None] * len(FIELDS), json.dumps({"status": "SUCCESS", "result": 7})) is None


def test_a_task_has_an_owner_and_may_have_been_replayed() -> None:
    assert (read(None).owner, read(None).replayed_as) == ("shop", None)
    assert read(None, replayed_as="0198c7a5").replayed_as == "0198c7a5"


def test_a_task_that_ended_and_whose_result_is_ignored_succeeded() -> None:
    task = read(None, started="tag/1", ended="1")
    assert (task.status, task.result, task.finished) == ("SUCCESS", None, True)


def test_a_task_that_was_acknowledged_before_its_start_waits() -> None:
    assert read(None, ended="1").status == "PENDING"


def test_what_is_stored_of_a_cancelled_task_is_read_as_that() -> None:
    running = read({"status": "PROGRESS", "result": None, "started_at": STARTED, "retries": 1})
    task = read(cancelled_meta(running))
    assert (task.status, task.started_at, task.retries, task.result, task.error) == ("REVOKED", STARTED, 1, None, None)
    assert task.finished_at


def test_a_task_of_which_nothing_is_stored_waits() -> None:
    task = read(None)
    assert (task.task_id, task.name, task.queued_at) == ("0198c7a4", NAME, QUEUED)
    assert (task.status, task.retries, task.finished) == ("PENDING", 0, False)
    assert (task.started_at, task.finished_at, task.progress, task.result, task.error) == (None,) * 5


def test_a_started_task_shows_since_when() -> None:
    task = read({"status": "STARTED", "result": {"pid": 7, "hostname": "worker"}, "started_at": STARTED})
    assert (task.status, task.started_at, task.result, task.finished) == ("STARTED", STARTED, None, False)


def test_a_task_in_progress_shows_how_far_it_is() -> None:
    progress = {"current": 1, "total": 2, "message": "half"}
    task = read({"status": "PROGRESS", "result": progress, "progress": progress, "started_at": STARTED})
    assert (task.status, task.progress, task.result, task.finished) == ("PROGRESS", progress, None, False)


def test_a_task_that_succeeded_shows_its_result_and_its_times() -> None:
    task = read({"status": "SUCCESS", "result": {"users": 3}, "started_at": STARTED, "date_done": ENDED})
    assert (task.status, task.result, task.error, task.finished) == ("SUCCESS", {"users": 3}, None, True)
    assert (task.started_at, task.finished_at) == (STARTED, ENDED)


def test_a_status_that_a_task_has_thought_of_is_that_of_a_started_one() -> None:
    task = read({"status": "FETCHING", "result": {"page": 7}, "started_at": STARTED})
    assert (task.status, task.result, task.error, task.finished) == ("STARTED", None, None, False)


@pytest.mark.parametrize("status", ["FAILURE", "RETRY"])
@pytest.mark.parametrize("said", ["no more tea", None, {"tea": 0}])
def test_a_failure_that_a_task_has_set_by_itself_is_told_in_its_words(status: str, said: object) -> None:
    error = read({"status": status, "result": said}).error
    assert error
    assert (error.type, error.message) == ("Failure", str(said))


def test_halves_of_characters_are_replaced_and_whole_ones_stay() -> None:
    task = read({"status": "SUCCESS", "result": {"\udc80a": ["b\ud800", "\\ud800", "😀"]}, "started_at": STARTED})
    assert task.result == {"�a": ["b�", "\\ud800", "😀"]}
    failed = read({"status": "FAILURE", "result": RAISED | {"exc_message": ["bad \udc80"]}}).error
    assert failed
    assert failed.message == "bad �"


@pytest.mark.parametrize("result", [None, 0, False, "", []])
def test_an_empty_result_is_a_result(result: object) -> None:
    assert read({"status": "SUCCESS", "result": result}).result == result


@pytest.mark.parametrize(("status", "finished"), [("FAILURE", True), ("RETRY", False)])
def test_an_error_shows_its_type_and_message(status: str, finished: bool) -> None:
    task = read({"status": status, "result": RAISED, "retries": 2, "traceback": "Traceback ..."})
    assert (task.status, task.finished, task.retries, task.result) == (status, finished, 2, None)
    assert task.error
    assert (task.error.type, task.error.message) == ("ValueError", "no, 7")


def test_a_message_that_is_one_text_stays_as_it_is() -> None:
    task = read({"status": "FAILURE", "result": RAISED | {"exc_message": "just so"}})
    assert task.error
    assert task.error.message == "just so"


@pytest.mark.parametrize(("app_env", "shown"), [("development", "Traceback ..."), ("production", None), ("test", None)])
def test_a_traceback_is_shown_in_development_only(
    monkeypatch: pytest.MonkeyPatch, app_env: str, shown: str | None
) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    task = read({"status": "FAILURE", "result": RAISED, "traceback": "Traceback ..."})
    assert task.error
    assert task.error.traceback == shown


def test_a_revoked_task_shows_no_result() -> None:
    task = read({"status": "REVOKED", "result": RAISED, "date_done": ENDED})
    assert (task.status, task.result, task.error, task.finished) == ("REVOKED", None, None, True)


@pytest.mark.parametrize("status", ["PENDING", "STARTED", "PROGRESS", "RETRY"])
def test_a_cancelled_task_is_revoked_whatever_it_was_doing(status: str) -> None:
    assert read({"status": status, "result": None}, cancelled="1").status == "REVOKED"


def test_a_task_that_ended_before_it_was_cancelled_keeps_its_outcome() -> None:
    assert read({"status": "SUCCESS", "result": 7}, cancelled="1").status == "SUCCESS"
