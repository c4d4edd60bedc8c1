"""Whatever cuts a task short, its transaction is gone, and the worker goes on working."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from servers import wait_until
from workers.processes import Service, Worker, outcome

HOLDS: dict[str, tuple[str, dict[str, Any]]] = {
    "in the database": ("proof.hold", {"where": "database", "seconds": 30}),
    "in the event loop": ("proof.hold", {"where": "loop", "seconds": 30}),
    "in asyncio.run": ("proof.hold_in_asyncio_run", {"seconds": 30}),
}


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[Worker]:
    """One process for one task at a time, so that the next task has what the one before left."""
    with service.worker("-c", "1") as worker:
        yield worker
        assert worker.stop() == 0
        assert worker.complaints_of_loops() == []


@pytest.fixture
def works_on(service: Service, queue: Celery[Any], request: pytest.FixtureRequest) -> Callable[[], int]:
    """Runs a task in each form; returns the process that they ran in."""

    def works_on() -> int:
        assert service.transactions() == 0
        processes = set()
        for form in ("use_session", "use_get_db", "leave_get_db_early"):
            key = f"after {request.node.name} {form}"
            processes.add(queue.send_task(f"proof.{form}", kwargs={"key": key}).get(timeout=30))
            assert key in service.written()
        (process,) = processes
        return int(process)

    return works_on


@pytest.mark.parametrize("form", ["fail_with_session", pytest.param("fail_with_get_db", marks=pytest.mark.slow)])
def test_an_exception_rolls_back_and_leaves_a_usable_connection(
    service: Service, queue: Celery[Any], worker: Worker, works_on: Callable[[], int], form: str
) -> None:
    process = queue.send_task("proof.use_session", kwargs={"key": f"before {form}"}).get(timeout=30)
    result = queue.send_task(f"proof.{form}", kwargs={"key": form})

    with pytest.raises(ValueError, match=form):
        result.get(timeout=30)
    assert form not in service.written()
    made = service.connections_ever()
    assert queue.send_task("proof.use_session", kwargs={"key": f"just after {form}"}).get(timeout=30) == process
    assert service.connections_ever() == made
    assert works_on() == process


@pytest.mark.parametrize(
    "where", [pytest.param(where, marks=pytest.mark.slow) if where != "in the event loop" else where for where in HOLDS]
)
def test_a_soft_time_limit_rolls_back(
    service: Service, queue: Celery[Any], worker: Worker, works_on: Callable[[], int], where: str
) -> None:
    task, arguments = HOLDS[where]
    result = queue.send_task(task, kwargs={"key": f"limited {where}", **arguments}, soft_time_limit=1)

    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=10)
    assert f"limited {where}" not in service.written()
    (child,) = worker.children()
    assert works_on() == child


@pytest.mark.slow
@pytest.mark.parametrize("where", HOLDS)
def test_a_running_task_that_is_revoked_is_stopped(
    service: Service, queue: Celery[Any], worker: Worker, works_on: Callable[[], int], where: str
) -> None:
    task, arguments = HOLDS[where]
    result = queue.send_task(task, kwargs={"key": f"revoked {where}", **arguments})
    wait_until(service.transactions)

    queue.control.revoke(result.id, terminate=True)

    assert outcome(result) == "REVOKED"
    wait_until(lambda: not service.transactions(), what=worker.log)
    assert f"revoked {where}" not in service.written()
    works_on()


def test_a_task_whose_process_is_killed_runs_again(
    service: Service, queue: Celery[Any], worker: Worker, works_on: Callable[[], int]
) -> None:
    result = queue.send_task("proof.hold", kwargs={"key": "killed", "seconds": 2})
    wait_until(service.transactions)
    (child,) = worker.children()

    os.kill(child, signal.SIGKILL)

    assert result.get(timeout=30) != child
    assert service.written().count("killed") == 1
    works_on()


@pytest.mark.slow
def test_a_warm_shutdown_lets_the_running_task_end(new_service: Callable[[], Service]) -> None:
    service = new_service()
    with service.queue() as queue, service.worker("-c", "2") as worker:
        results = [
            queue.send_task("proof.hold", kwargs={"key": "shut down", "seconds": 2}),
            queue.send_task("proof.hold_in_asyncio_run", kwargs={"key": "shut down, asyncio.run", "seconds": 2}),
        ]
        wait_until(lambda: service.transactions() == 2)

        assert worker.stop() == 0

    assert [result.state for result in results] == ["SUCCESS", "SUCCESS"]
    assert set(service.written()) == {"shut down", "shut down, asyncio.run"}
    assert service.connections() == 0
    assert worker.complaints_of_loops() == []


@pytest.mark.slow
def test_processes_are_replaced_after_so_many_tasks(new_service: Callable[[], Service]) -> None:
    service = new_service().set(CELERY_WORKER_MAX_TASKS_PER_CHILD="5")
    with service.queue() as queue, service.worker("-c", "2") as worker:
        results = [
            queue.send_task(f"proof.{form}", kwargs={"key": f"recycled {n} {form}"})
            for n in range(10)
            for form in ("use_session", "use_get_db")
        ]
        processes = [result.get(timeout=30) for result in results]
        assert service.connections() <= 2
        assert worker.stop() == 0

    assert max(map(processes.count, processes)) == 5
    assert len(service.written()) == len(results)
    assert service.connections() == 0
    assert worker.complaints_of_loops() == []
    assert "Traceback" not in worker.log()


@pytest.mark.slow
def test_a_restart_of_the_database_leaves_a_worker_that_works(new_service: Callable[[], Service]) -> None:
    service = new_service()
    with service.queue() as queue, service.worker("-c", "2") as worker:

        def use_database(when: str) -> set[int]:
            forms = ("use_session", "use_get_db", "use_session", "leave_get_db_early")
            sent = [queue.send_task(f"proof.{form}", kwargs={"key": f"{when} {n}"}) for n, form in enumerate(forms * 5)]
            return {result.get(timeout=30) for result in sent}

        processes = use_database("before")
        cut_short = [
            queue.send_task("proof.hold", kwargs={"key": "cut short", "seconds": 4}),
            queue.send_task("proof.hold_in_asyncio_run", kwargs={"key": "cut short, asyncio.run", "seconds": 4}),
        ]
        wait_until(lambda: service.transactions() == 2)

        service.postgres.restart()

        assert [outcome(result) for result in cut_short] == ["SUCCESS", "SUCCESS"]
        assert {event["task"] for event in worker.events("task will be tried again")} == {
            "proof.hold",
            "proof.hold_in_asyncio_run",
        }
        assert use_database("after") == processes
        service.postgres.restart()
        assert use_database("after the second, while idle") == processes
        assert worker.stop() == 0

    assert len(service.written()) == 62
    assert worker.complaints_of_loops() == []
