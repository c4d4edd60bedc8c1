"""What a task knows of itself, and what others see of it, from the API to the worker's log."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from servers import free_port, wait_until
from workers.processes import Api, Service, Worker, outcome


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[Worker]:
    with service.worker("-c", "1") as worker:
        yield worker


def test_an_async_task_tells_its_id_and_progress_under_the_request_id_of_the_api(api: Api, worker: Worker) -> None:
    request_id = str(uuid4())
    queued = api.client.post(f"{api.url}/api/v1/tasks/proof.tell_request", headers={"X-Request-ID": request_id})
    task_id = queued.json()["task_id"]
    seen: list[dict[str, Any]] = []

    def has_ended() -> bool:
        seen.append(api.client.get(f"{api.url}/api/v1/tasks/{task_id}").json())
        return seen[-1]["status"] in ("SUCCESS", "FAILURE")

    wait_until(has_ended)

    assert queued.status_code == 202
    assert seen[-1]["result"] == task_id
    (progress,) = {tuple(task["progress"].items()) for task in seen if task["status"] == "PROGRESS"}
    assert progress == (("current", 1), ("total", 2), ("message", "half of it"))
    wait_until(lambda: worker.events("task succeeded"))
    for event in ("task started", "in the task", "task succeeded"):
        (entry,) = (entry for entry in worker.events(event) if entry["task_id"] == task_id)
        assert entry["request_id"] == request_id


def test_a_check_of_all_that_a_worker_depends_on_succeeds(queue: Celery[Any], worker: Worker) -> None:
    assert queue.send_task("system.check").get(timeout=30) == ["database", "redis"]


def test_a_task_gives_up_with_its_last_error_after_its_retries(new_service: Callable[[], Service]) -> None:
    service = new_service().set(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    with service.queue() as queue, service.worker("-c", "1") as worker:
        result = queue.send_task("proof.check")

        assert outcome(result) == "FAILURE"
        assert type(result.result).__name__ == "ConnectionError"
        assert result.retries == 5
        assert len(worker.events("task will be tried again")) == 5
        wait_until(lambda: len(worker.events("task failed")) == 1, what=worker.log)


def test_wrong_arguments_fail_at_once(queue: Celery[Any], worker: Worker) -> None:
    result = queue.send_task("proof.check", kwargs={"times": "many"})

    assert outcome(result) == "FAILURE"
    assert type(result.result).__name__ == "ArgumentsError"
    assert "times: Input should be a valid integer" in str(result.result)
    assert not result.retries
    assert [entry for entry in worker.events("task will be tried again") if entry["task_id"] == result.id] == []
