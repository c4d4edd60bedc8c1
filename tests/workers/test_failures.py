"""Tasks that failed for good are kept, and can be replayed."""

import subprocess
from typing import Any

import pytest
from servers import wait_until
from workers.processes import Api, Service, Worker

HOW = {
    "error": ("ValueError", "of error"),
    "retries": ("ValueError", "of retries"),
    "rejected": ("Reject", "of rejected"),
    "time limit": ("TimeLimitExceeded", "2"),
}


def post(api: Api, path: str, **arguments: Any) -> str:
    """The address of the task."""
    answer = api.client.post(f"{api.url}/api/v1/tasks/{path}", json=arguments or None)
    assert answer.status_code == 202, f"{answer.text}\n{api.log()}"
    return f"{api.url}{answer.headers['Location']}"


def ended(api: Api, address: str, worker: Worker) -> dict[str, Any]:
    """The task, once it has ended."""
    wait_until(lambda: api.client.get(address).json()["finished_at"], 60, worker.log)
    return dict(api.client.get(address).json())


def failures(api: Api) -> dict[str, dict[str, Any]]:
    page = api.client.get(f"{api.url}/api/v1/tasks", params={"status": "FAILURE"}).json()
    return {task["task_id"]: task for task in page["tasks"]}


def test_each_kind_of_failure_is_kept_with_its_error_and_replayed_with_its_arguments(
    service: Service, api: Api
) -> None:
    with service.worker("-c", "2") as worker:
        addresses = {how: post(api, "proof.fail", key=f"of {how}", how=how) for how in HOW}
        tasks = {how: ended(api, address, worker) for how, address in addresses.items()}
        for how, (error, message) in HOW.items():
            assert tasks[how]["status"] == "FAILURE"
            assert tasks[how]["error"]["type"] == error, tasks[how]
            assert message in tasks[how]["error"]["message"]
        wait_until(lambda: len(failures(api)) == len(HOW), what=worker.log)

        again = post(api, f"{tasks['error']['task_id']}/replay")
        replayed = ended(api, again, worker)
        assert replayed["error"] == tasks["error"]["error"]
        listed = failures(api)
        assert tasks["error"]["task_id"] not in listed
        assert replayed["task_id"] in listed


def test_a_success_is_not_among_them(service: Service, api: Api) -> None:
    with service.worker("-c", "1") as worker:
        task = ended(api, post(api, "proof.use_session", key="fine"), worker)
    assert task["status"] == "SUCCESS"
    assert task["task_id"] not in failures(api)


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "proof.fail"])
def test_many_are_replayed_by_a_command_once_each(service: Service, api: Api, name: str | None) -> None:
    before = set(failures(api))
    with service.worker("-c", "1") as worker:
        addresses = [post(api, "proof.fail", key=f"{name} {number}") for number in range(5)]
        ids = {ended(api, address, worker)["task_id"] for address in addresses}
        wait_until(lambda: ids <= set(failures(api)), what=worker.log)
    command = ["python", "-m", "scripts.replay", *([name] if name else [])]
    first, second = (service.run(*command) for _ in range(2))
    assert f"{len(before | ids)} tasks were queued anew" in first
    assert "0 tasks were queued anew" in second
    assert failures(api) == {}
    waiting = api.client.get(f"{api.url}/health/celery").json()["waiting"]["default"]
    assert waiting == len(before | ids)
    with service.worker("-c", "1") as worker:
        wait_until(lambda: len(failures(api)) == waiting, what=worker.log)
        assert worker.stop() == 0


def test_a_command_for_a_task_that_is_not_there_says_so(service: Service) -> None:
    with pytest.raises((AssertionError, subprocess.CalledProcessError), match=r"There is no task 'no\.task'"):
        service.run("python", "-m", "scripts.replay", "no.task")
