"""`DELETE /api/v1/tasks/{task_id}`."""

import time
from typing import Any

import pytest
from servers import wait_until
from workers.processes import Api, Service


def queue_task(api: Api, name: str, **arguments: Any) -> str:
    """The address of the task."""
    answer = api.client.post(f"{api.url}/api/v1/tasks/{name}", json=arguments)
    assert answer.status_code == 202, answer.text
    return f"{api.url}{answer.headers['Location']}"


def status(api: Api, task: str) -> str:
    return str(api.client.get(task).json()["status"])


def test_a_waiting_task_that_was_cancelled_never_starts(service: Service, api: Api) -> None:
    cancelled = queue_task(api, "proof.use_session", key="cancelled")
    assert api.client.delete(cancelled).status_code == 202
    assert status(api, cancelled) == "REVOKED"
    kept = queue_task(api, "proof.use_session", key="kept")

    with service.worker("-c", "1") as worker:
        wait_until(lambda: status(api, kept) == "SUCCESS", what=worker.log)

    assert status(api, cancelled) == "REVOKED"
    assert api.client.delete(cancelled).status_code == 409
    assert service.written() == ["kept"]
    (started,) = worker.events("task started")
    assert kept.endswith(started["task_id"])


def test_a_running_task_that_is_cancelled_is_stopped(service: Service, api: Api) -> None:
    with service.worker("-c", "1") as worker:
        running = queue_task(api, "proof.hold", key="running", seconds=30)
        wait_until(service.transactions)

        assert api.client.delete(running).status_code == 202

        wait_until(lambda: not service.transactions(), what=worker.log)
        following = queue_task(api, "proof.use_session", key="following")
        wait_until(lambda: status(api, following) == "SUCCESS", what=worker.log)
        assert status(api, running) == "REVOKED"
        assert worker.stop() == 0

    assert "running" not in service.written()


@pytest.mark.slow
def test_a_running_task_may_end_by_itself_and_stays_revoked(service: Service, api: Api) -> None:
    with service.worker("-c", "1") as worker:
        task = queue_task(api, "proof.until_aborted", key="asked")
        wait_until(lambda: status(api, task) == "STARTED", what=worker.log)

        assert api.client.delete(task).status_code == 202

        wait_until(lambda: worker.events("cleaned up"), what=worker.log)
        wait_until(lambda: worker.events("task succeeded"), what=worker.log)
        assert status(api, task) == "REVOKED"
        assert not worker.events("terminated a cancelled task")


@pytest.mark.slow
def test_a_task_that_was_cancelled_while_it_ran_does_not_run_again_after_its_worker_was_killed(
    service: Service, api: Api
) -> None:
    with service.worker("-c", "1") as killed:
        task = queue_task(api, "proof.hold", key="killed", seconds=30)
        wait_until(service.transactions)
        killed.kill()
    assert api.client.delete(task).status_code == 202

    with service.worker("-c", "1") as worker:
        wait_until(lambda: worker.events("task had ended already"), what=worker.log)
        assert status(api, task) == "REVOKED"
        assert worker.stop() == 0
    assert "killed" not in service.written()


@pytest.mark.slow
def test_whoever_is_told_that_a_task_is_cancelled_finds_it_so_whatever_it_was_doing(service: Service, api: Api) -> None:
    """Each is cancelled at another moment of its life."""
    with service.worker("-c", "2") as worker:
        answers: dict[str, int] = {}
        for number in range(60):
            task = queue_task(api, "proof.use_session", key=f"race {number}")
            time.sleep(number / 4_000)
            answers[task] = api.client.delete(task).status_code
        wait_until(lambda: all(api.client.get(task).json()["finished_at"] for task in answers), what=worker.log)
        assert worker.stop() == 0
    assert set(answers.values()) <= {202, 409}
    for task, answer in answers.items():
        assert status(api, task) == {202: "REVOKED", 409: "SUCCESS"}[answer]
