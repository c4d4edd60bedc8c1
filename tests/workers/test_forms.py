"""`with_db_init` serves tasks of all forms, in every pool, and from a running event loop."""

from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from workers.processes import POOL_SIZE, Service

HERE = Path(__file__).parent
FORMS = ("use_session", "use_get_db", "use_session", "leave_get_db_early", "without_a_loop")
WITH_A_LOOP_OF_THEIR_OWN = ("use_get_db", "leave_get_db_early")


def run_mixed(queue: Celery[Any], number: int) -> dict[str, list[int]]:
    """Queue so many tasks at once, of all forms; the processes that they ran in, by form."""
    queued = [
        (form, queue.send_task(f"proof.{form}", kwargs={"key": f"{number} {form} {n}"}))
        for n, form in enumerate(islice(cycle(FORMS), number))
    ]
    ran_in: dict[str, list[int]] = {form: [] for form in FORMS}
    for form, result in queued:
        ran_in[form].append(result.get(timeout=90))
    return ran_in


@pytest.mark.parametrize(
    ("pool", "number", "processes"),
    [
        pytest.param(["-P", "prefork", "-c", "4"], 500, 4, id="prefork"),
        pytest.param(["-P", "threads", "-c", "8"], 150, 1, id="threads", marks=pytest.mark.slow),
        pytest.param(["-P", "solo"], 100, 1, id="solo", marks=pytest.mark.slow),
    ],
)
def test_tasks_of_all_forms_mixed_share_few_connections(
    new_service: Callable[[], Service], pool: list[str], number: int, processes: int
) -> None:
    service = new_service()
    with service.queue() as queue, service.worker(*pool) as worker:
        ran_in = run_mixed(queue, number)
        assert service.connections("idle in transaction%") == 0
        assert worker.stop() == 0

    assert worker.complaints_of_loops() == []
    assert "Traceback" not in worker.log()
    assert len({process for form in ran_in.values() for process in form}) == processes
    assert service.connections() == 0
    own = sum(len(ran_in[form]) for form in WITH_A_LOOP_OF_THEIR_OWN)
    assert service.connections_ever() <= processes * POOL_SIZE + own
    at_a_time = 8 if "threads" in pool else 1
    assert service.postgres.connections_at_once(service.database) <= processes * (POOL_SIZE + at_a_time)
    assert len(service.written()) == number - len(ran_in["without_a_loop"])


def test_tasks_of_all_forms_can_be_called_from_a_running_event_loop(service: Service) -> None:
    printed = service.run("python", "-X", "dev", str(HERE / "call_in_process.py"))

    assert [line for line in printed.splitlines() if "Warning" in line or "Error" in line] == []
    keys = set(service.written())
    assert {"called async", "called asyncio.run", "called asyncio.run, left early"} <= keys
    assert {f"called on thread {n}" for n in range(8)} <= keys
    assert {f"eager proof.{form}" for form in ("use_session", "use_get_db", "leave_get_db_early")} <= keys
