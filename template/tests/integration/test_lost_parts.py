"""A chord comes to its body although a part was lost right after its end, with a real worker."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.core.task_message import NewTask
from app.core.task_queue import task_queue
from tests.fixtures.redis import empty_databases
from tests.fixtures.worker import TASKS, outcome, run_worker
from tests.integration.lost_parts import lose_part


@pytest.fixture(scope="module")
def _worker(real_redis: None, worker_log: Path) -> Iterator[None]:
    empty_databases()
    with run_worker(worker_log, "tests.integration.lost_parts"):
        yield


@pytest.mark.usefixtures("_worker")
@pytest.mark.parametrize(
    ("moment", "fails"),
    [
        ("the chord is told", False),
        ("the body is claimed", False),
        ("the body is queued", False),
        ("the chord is told", True),
    ],
)
async def test_a_chord_ends_although_its_part_was_lost_before(
    shop: httpx2.AsyncClient, tmp_path: Path, moment: str, fails: bool
) -> None:
    arguments = {"moment": moment, "fails": fails, "lost": str(tmp_path / "lost")}
    task_id = await task_queue.get().enqueue(NewTask(lose_part, arguments, owner="shop"))
    ended = await outcome(shop, f"{TASKS}/{task_id}")
    assert (tmp_path / "lost").exists()
    if fails:
        assert (ended["status"], "the part failed" in ended["error"]["message"]) == ("FAILURE", True)
    else:
        assert (ended["status"], ended["result"]) == ("SUCCESS", ["told"])
