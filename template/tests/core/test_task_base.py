"""What every task does."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.exceptions import Ignore, Reject, Retry
from redis import Redis

from app.core import task_base, task_progress
from app.core.config.celery import get_celery_settings
from app.core.task_arguments import ArgumentsError
from app.core.task_base import MOST_STARTS, WorkerKillerError, retry_outage
from app.core.task_keys import record_key
from app.tasks import system


@pytest.fixture
def in_worker() -> Iterator[None]:
    system.heartbeat.push_request(id="0198c7a4", called_directly=False)
    yield
    system.heartbeat.pop_request()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The progress that a task wrote down."""
    reports: list[dict[str, Any]] = []

    def store(_id: str, progress: dict[str, Any], _state: str, **_: Any) -> None:
        reports.append(progress)

    monkeypatch.setattr(system.heartbeat.backend, "store_result", store)
    return reports


def test_what_was_not_written_down_by_its_end_goes_with_the_last_state_of_a_task(
    in_worker: None, written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_to_100() -> None:
        for done in range(1, 101):
            system.heartbeat.report_progress(done, 100, f"step {done}")

    monkeypatch.setattr(task_progress, "PROGRESS_INTERVAL", 60)
    monkeypatch.setattr(system.heartbeat, "run", count_to_100)
    system.heartbeat()
    assert written == [{"current": 1, "total": 100, "message": "step 1"}]
    assert system.heartbeat.request.progress_reports.newest == {"current": 100, "total": 100, "message": "step 100"}
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


def test_a_task_called_as_a_function_writes_no_progress(
    written: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    system.heartbeat.push_request()
    monkeypatch.setattr(system.heartbeat, "run", lambda: system.heartbeat.report_progress(1, 1))
    system.heartbeat()
    system.heartbeat.pop_request()
    assert written == []


@pytest.mark.parametrize("properties", [None, {}])
def test_a_task_that_is_called_as_a_function_came_by_no_delivery(in_worker: None, properties: Any) -> None:
    system.heartbeat.request.properties = properties
    assert not system.heartbeat.delivery


def test_with_another_broker_a_task_comes_by_no_delivery(in_worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    system.heartbeat.request.properties = {"delivery_tag": "1"}
    assert system.heartbeat.delivery == "1"
    settings = get_celery_settings().model_copy(update={"broker_url": "amqp://"})
    monkeypatch.setattr(task_base, "get_celery_settings", lambda: settings)
    assert system.heartbeat.delivery is None


def test_a_task_that_is_acknowledged_before_it_starts_is_not_held(
    in_worker: None, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.heartbeat.request.properties = {"delivery_tag": "tag/1"}
    monkeypatch.setattr(system.heartbeat, "acks_late", False)
    system.heartbeat.before_start("0198c7a4")
    assert system.heartbeat.delivery is None


def test_a_task_that_another_worker_has_by_now_does_not_start(
    in_worker: None, broker: Redis, log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    system.heartbeat.request.properties = {"delivery_tag": "tag/1"}
    broker.hset(record_key("0198c7a4"), "delivery", "tag/2")
    pauses: list[float] = []
    monkeypatch.setattr("app.core.task_base.time.sleep", pauses.append)
    with pytest.raises(Reject) as raised:
        system.heartbeat.before_start("0198c7a4")
    assert raised.value.args[1]  # it is to be queued again
    assert pauses == [1]
    assert [event["event"] for event in log()] == ["the task seems to be with another worker by now"]
    assert system.heartbeat.backend.get_task_meta("0198c7a4")["status"] == "PENDING"


def test_a_cancelled_task_does_not_start(in_worker: None, broker: Redis) -> None:
    system.heartbeat.before_start("0198c7a4")
    broker.hset(record_key("0198c7a4"), "cancelled", "1")
    with pytest.raises(Ignore):
        system.heartbeat.before_start("0198c7a4")
    assert system.heartbeat.backend.get_task_meta("0198c7a4")["status"] == "REVOKED"


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_task_that_has_ended_is_not_started_by_a_late_redelivery(in_worker: None, broker: Redis, state: str) -> None:
    system.heartbeat.before_start("0198c7a4")
    system.heartbeat.backend.store_result("0198c7a4", None, state)
    with pytest.raises(Ignore):
        system.heartbeat.before_start("0198c7a4")
    assert system.heartbeat.backend.get_task_meta("0198c7a4")["status"] == state


def test_a_late_redelivery_of_what_failed_tells_those_that_were_to_come(in_worker: None, broker: Redis) -> None:
    """Its worker was lost when it had stored the failure, and before it had told anybody."""
    system.heartbeat.request.chain = [system.heartbeat.si().set(task_id="last")]
    system.heartbeat.before_start("0198c7a4")
    system.heartbeat.backend.store_result("0198c7a4", ValueError("no pulse"), "FAILURE")
    with pytest.raises(Ignore):
        system.heartbeat.before_start("0198c7a4")
    last = system.heartbeat.backend.get_task_meta("last")
    assert (last["status"], repr(last["result"])) == ("FAILURE", "ValueError('no pulse')")


def test_a_late_redelivery_of_a_part_begins_the_body_of_its_chord(in_worker: None, broker: Redis) -> None:
    """Its worker was lost when it had claimed to begin the body, and before it had."""
    backend = system.heartbeat.backend
    system.heartbeat.request.update(group="chord", chord=system.heartbeat.si().set(task_id="body"))
    backend.set_chord_size("chord", 1)
    system.heartbeat.before_start("0198c7a4")
    backend.store_result("0198c7a4", None, "SUCCESS")
    backend.client.set(backend.get_key_for_group("chord", ".c"), "claimed")
    with pytest.raises(Ignore):
        system.heartbeat.before_start("0198c7a4")
    assert broker.hget(record_key("body"), "name") == "system.heartbeat"


def test_a_task_that_kills_its_workers_is_given_up(in_worker: None, broker: Redis) -> None:
    for _ in range(MOST_STARTS):
        system.heartbeat.before_start("0198c7a4")
    with pytest.raises(WorkerKillerError, match="5 workers"):
        system.heartbeat.before_start("0198c7a4")


def test_trying_again_is_no_lost_worker(in_worker: None, broker: Redis) -> None:
    for retries in range(2 * MOST_STARTS):
        system.heartbeat.request.retries = retries
        system.heartbeat.before_start("0198c7a4")


def test_arguments_that_do_not_fit_are_an_error_and_no_retry(in_worker: None) -> None:
    with pytest.raises(ArgumentsError, match="size"):
        system.check(size=7)


def test_the_log_tells_the_course_of_a_task_without_its_arguments(
    in_worker: None, broker: Redis, log: Callable[[], list[dict[str, Any]]]
) -> None:
    task, secret = system.heartbeat, "what nobody should read"
    task.before_start("0198c7a4", [secret], {"text": secret})
    task.on_retry(ValueError("again"), "0198c7a4", [secret], {"text": secret})
    task.on_success(secret, "0198c7a4", [secret], {"text": secret})
    task.on_failure(ValueError("no"), "0198c7a4", [secret], {"text": secret})
    events = log()
    assert [event["event"] for event in events] == [
        "task started",
        "task will be tried again",
        "task succeeded",
        "task failed",
    ]
    assert [event["level"] for event in events] == ["info", "warning", "info", "error"]
    assert secret not in str(events)


@pytest.fixture
def tried_again(in_worker: None, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How the task asked to be tried again."""
    asked: list[dict[str, Any]] = []

    def retry(**options: Any) -> Retry:
        asked.append(options)
        return Retry()

    monkeypatch.setattr(system.heartbeat, "retry", retry)
    monkeypatch.setattr(task_base, "current_task", system.heartbeat)
    return asked


def is_os_error(error: Exception) -> bool:
    return isinstance(error, OSError)


def test_a_task_is_tried_again_when_what_it_needs_is_away(tried_again: list[dict[str, Any]]) -> None:
    with pytest.raises(Retry), retry_outage(is_os_error):
        raise OSError("away")
    ((options,),) = [tried_again]
    assert repr(options["exc"]) == "OSError('away')"
    assert options["max_retries"] > 10
    assert 0 <= options["countdown"] <= 60


def test_any_other_error_is_the_tasks_own(tried_again: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="wrong"), retry_outage(is_os_error):
        raise ValueError("wrong")
    assert tried_again == []


def test_a_task_that_says_what_it_does_about_the_error_does_that(
    tried_again: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system.heartbeat, "autoretry_for", (OSError,), raising=False)
    with pytest.raises(OSError, match="away"), retry_outage(is_os_error):
        raise OSError("away")
    assert tried_again == []


def test_outside_of_a_task_an_outage_is_an_error() -> None:
    with pytest.raises(OSError, match="away"), retry_outage(is_os_error):
        raise OSError("away")
