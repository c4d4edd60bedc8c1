"""Workflows that a task has put in its own place, as seen on its id, with a real worker."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.core.task_message import NewTask
from app.core.task_queue import task_queue
from tests.fixtures.redis import empty_databases
from tests.fixtures.worker import TASKS, outcome, run_worker, until
from tests.integration.workflow_parts import SHAPES, names, workflow

PARTS = "tests.integration.workflow_parts"


@pytest.fixture(scope="module")
def parts_worker(real_redis: None, worker_log: Path) -> Iterator[None]:
    empty_databases()
    with run_worker(worker_log, PARTS, concurrency=2):
        yield


async def begin(folder: Path, shape: str, **acts: str) -> str:
    """Queue a workflow whose parts do what is asked of them; returns where it is seen."""
    arguments = {"shape": shape, "acts": acts, "folder": str(folder)}
    task_id = await task_queue.get().enqueue(NewTask(workflow, arguments, owner="shop"))
    return f"{TASKS}/{task_id}"


async def exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def test_a_part_whose_worker_was_killed_comes_back(
    real_redis: None, shop: httpx2.AsyncClient, tmp_path: Path
) -> None:
    """The first test, for it leaves no worker to the others."""
    empty_databases()
    with (
        run_worker(tmp_path / "first", PARTS, concurrency=2),
        run_worker(tmp_path / "second", PARTS, concurrency=2),
    ):
        ended = await outcome(shop, await begin(tmp_path, "chain", b="kill, fail"))
    assert (ended["status"], ended["error"]["message"]) == ("FAILURE", "b failed")


@pytest.mark.usefixtures("parts_worker")
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_workflow_is_seen_from_its_beginning_to_its_end(
    shop: httpx2.AsyncClient, tmp_path: Path, shape: str
) -> None:
    parts = names(shape)
    location = await begin(tmp_path, shape, **{parts[-1]: "wait"})
    await until(lambda: exists(tmp_path / parts[-1]))

    async def nearly_all_are_done() -> dict[str, Any] | None:
        task: dict[str, Any] = (await shop.get(location)).json()
        return task if task["progress"] and task["progress"]["current"] == len(parts) - 1 else None

    seen = await until(nearly_all_are_done)
    assert (seen["name"], seen["progress"]["total"]) == ("test.workflow", len(parts))
    assert seen["status"] == ("STARTED" if shape in ENDS_WITH_ONE else "PROGRESS")
    (tmp_path / "go on").touch()
    ended = await outcome(shop, location)
    assert (ended["status"], ended["result"]) == ("SUCCESS", ENDS_WITH_SEVERAL.get(shape, parts[-1]))
    assert ended["progress"]["current"] == ended["progress"]["total"] == len(parts)


ENDS_WITH_SEVERAL = {"group": ["a", "b", "c"], "group at the end": ["b", "c"]}
ENDS_WITH_ONE = SHAPES.keys() - ENDS_WITH_SEVERAL
"""It has the id that is watched, so its start is seen."""


@pytest.mark.usefixtures("parts_worker")
@pytest.mark.parametrize(("shape", "part"), [(shape, part) for shape in SHAPES for part in names(shape)])
async def test_a_part_that_fails_ends_the_whole(
    shop: httpx2.AsyncClient, tmp_path: Path, shape: str, part: str
) -> None:
    ended = await outcome(shop, await begin(tmp_path, shape, **{part: "fail"}))
    assert ended["status"] == "FAILURE"
    assert f"{part} failed" in ended["error"]["message"]


@pytest.mark.usefixtures("parts_worker")
@pytest.mark.parametrize(("part", "act"), [("a", "retry, fail"), ("b", "die, fail"), ("d", "die, fail")])
async def test_so_does_one_that_was_tried_again_or_lost_before(
    shop: httpx2.AsyncClient, tmp_path: Path, part: str, act: str
) -> None:
    ended = await outcome(shop, await begin(tmp_path, "chain in a chord", **{part: act}))
    assert ended["status"] == "FAILURE"
    assert f"{part} failed" in ended["error"]["message"]


@pytest.mark.usefixtures("parts_worker")
async def test_a_part_that_was_tried_again_or_lost_counts_once(shop: httpx2.AsyncClient, tmp_path: Path) -> None:
    ended = await outcome(shop, await begin(tmp_path, "chain in a chord", a="die", b="retry", d="die"))
    assert (ended["status"], ended["result"]) == ("SUCCESS", "d")
    assert ended["progress"]["current"] == 4


@pytest.mark.usefixtures("parts_worker")
@pytest.mark.parametrize("part", ["a", "b", "c"])
async def test_a_workflow_that_failed_is_replayed_from_its_beginning(
    shop: httpx2.AsyncClient, tmp_path: Path, part: str
) -> None:
    failed = await begin(tmp_path, "chain", **{part: "fail once"})
    assert (await outcome(shop, failed))["status"] == "FAILURE"
    replayed = await shop.post(f"{failed}/replay")
    assert (await outcome(shop, replayed.headers["Location"]))["result"] == "c"


@pytest.mark.usefixtures("parts_worker")
@pytest.mark.parametrize(("shape", "later"), [("chain", "b"), ("chord", "c"), ("chain in a chord", "b")])
async def test_what_is_to_come_of_a_cancelled_workflow_does_not_start(
    shop: httpx2.AsyncClient, tmp_path: Path, shape: str, later: str
) -> None:
    location = await begin(tmp_path, shape, a="wait")
    await until(lambda: exists(tmp_path / "a"))
    assert (await shop.delete(location)).status_code == 202
    await until(lambda: exists(tmp_path / "a stopped"))
    assert (await outcome(shop, await begin(tmp_path, "one")))["status"] == "SUCCESS"
    assert not await exists(tmp_path / later)
    assert (await shop.get(location)).json()["status"] == "REVOKED"
