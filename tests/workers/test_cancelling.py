"""`DELETE /api/v1/tasks/{task_id}`."""

from typing import Any

import httpx2
from servers import wait_until
from workers.processes import Api, Service


def queue_task(api: Api, name: str, **arguments: Any) -> str:
    """The address of the task."""
    answer = httpx2.post(f"{api.url}/api/v1/tasks/{name}", json=arguments)
    assert answer.status_code == 202, answer.text
    return f"{api.url}{answer.headers['Location']}"


def status(task: str) -> str:
    return str(httpx2.get(task).json()["status"])


def test_a_waiting_task_that_was_cancelled_never_starts(service: Service, api: Api) -> None:
    cancelled = queue_task(api, "proof.use_session", key="cancelled")
    assert httpx2.delete(cancelled).status_code == 202
    assert status(cancelled) == "REVOKED"
    kept = queue_task(api, "proof.use_session", key="kept")

    with service.worker("-c", "1") as worker:
        wait_until(lambda: status(kept) == "SUCCESS", what=worker.log)

    assert status(cancelled) == "REVOKED"
    assert httpx2.delete(cancelled).status_code == 409
    assert service.written() == ["kept"]
    (started,) = worker.events("task started")
    assert kept.endswith(started["task_id"])


def test_a_running_task_that_is_cancelled_is_stopped(service: Service, api: Api) -> None:
    with service.worker("-c", "1") as worker:
        running = queue_task(api, "proof.hold", key="running", seconds=30)
        wait_until(service.transactions)

        assert httpx2.delete(running).status_code == 202

        wait_until(lambda: not service.transactions(), what=worker.log)
        following = queue_task(api, "proof.use_session", key="following")
        wait_until(lambda: status(following) == "SUCCESS", what=worker.log)
        assert status(running) == "REVOKED"
        assert worker.stop() == 0

    assert "running" not in service.written()
