"""Urgency, expiry, delays, limits, cancelling and lost workers, seen on a real worker."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.core.single_run import single_run
from app.core.task_message import NewTask
from app.models.orders import Order
from app.models.users import User
from app.services import order_keeping
from app.tasks.control import BATCH, count_orders, export_orders, pack_exports
from tests.fixtures.worker import TASKS, outcome, run_task, until

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
async def user_id(session: AsyncSession) -> int:
    async with session.begin():
        session.add(user := User(email="ada@example.org", name="Ada"))
    return user.id


@pytest.fixture
async def orders(session: AsyncSession, user_id: int) -> int:
    """Three batches of them, all overdue."""
    long_ago, count = datetime.now(UTC) - timedelta(days=30), 2 * BATCH + 50
    order: dict[str, Any] = {"user_id": user_id, "total_cents": 100, "currency": "EUR", "ordered_at": long_ago}
    async with session.begin():
        session.add_all(Order(reference=f"A-{number}", **order) for number in range(count))
    return count


@pytest.fixture
async def exports() -> AsyncIterator[Path]:
    folder = stored_files.folder("order-archive")
    yield folder
    stored_files.remove(folder)


async def queue(shop: httpx2.AsyncClient, call: str, **arguments: Any) -> str:
    queued = await shop.post(f"{TASKS}/control.{call}", json=arguments)
    assert queued.status_code == 202, queued.text
    location: str = queued.headers["Location"]
    return location


async def queue_with(new: NewTask, **options: Any) -> str:
    """With options that callers over HTTP are not free to choose."""
    await asyncio.to_thread(new.send, **options)
    return f"{TASKS}/{new.task_id}"


async def under_way(shop: httpx2.AsyncClient, location: str) -> None:
    """The task has done its first step."""

    async def seen() -> bool:
        return bool((await shop.get(location)).json()["progress"])

    await until(seen)


async def started_at(shop: httpx2.AsyncClient, location: str) -> datetime:
    return datetime.fromisoformat((await outcome(shop, location))["started_at"])


def children(process: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False)
    return [int(child) for child in found.stdout.split()]


async def kill_worker_process() -> None:
    """The one that runs the tasks; its parent, which the tests have started, starts another."""
    killed = 0
    for worker in children(os.getpid()):
        for process in children(worker):
            os.kill(process, signal.SIGKILL)
            killed += 1
    assert killed


def left(folder: Path, pattern: str = "*") -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


@pytest.mark.usefixtures("orders", "exports")
async def test_what_is_urgent_overtakes_what_waits_longer(shop: httpx2.AsyncClient) -> None:
    await run_task(shop, "control.count_orders")  # the worker is up
    running = await queue(shop, "export_orders", pause=1)
    await under_way(shop, running)
    waiting = [await queue(shop, "export_orders") for _ in range(3)]
    raised = await queue(shop, "export_orders?priority=7")
    urgent = await queue(shop, "count_orders")
    starts = [await started_at(shop, task) for task in (running, urgent, raised, *waiting)]
    assert starts == sorted(starts)
    assert (await outcome(shop, running))["finished_at"] <= (await outcome(shop, urgent))["started_at"]


@pytest.mark.usefixtures("orders", "exports")
async def test_what_nobody_waits_for_any_more_is_not_done(shop: httpx2.AsyncClient) -> None:
    running = await queue(shop, "export_orders", pause=1)
    await under_way(shop, running)
    expired = await queue_with(NewTask(count_orders, {}, owner="shop"), expires=0.2)
    found = await outcome(shop, expired)
    assert (found["status"], found["started_at"]) == ("REVOKED", None)
    assert (await run_task(shop, "control.count_orders"))["result"] > 0, "within its minute"


async def test_a_start_is_put_off_by_seconds_or_to_a_time(shop: httpx2.AsyncClient) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=2)
    by_seconds = await queue(shop, "count_orders?countdown=2")
    to_a_time = await queue(shop, f"count_orders?eta={eta.isoformat().replace('+00:00', 'Z')}")
    assert min(await started_at(shop, by_seconds), await started_at(shop, to_a_time)) >= eta


async def test_an_order_that_is_not_paid_in_time_is_given_up(
    shop: httpx2.AsyncClient, session: AsyncSession, user_id: int
) -> None:
    order = {"reference": "A-1", "user_id": user_id, "total_cents": 4900, "hold_seconds": 1}
    begin = time.monotonic()
    assert (await run_task(shop, "control.hold_order", order))["result"] is True
    assert (await run_task(shop, "control.hold_order", order))["result"] is False

    async def given_up() -> bool:
        async with session.begin():
            return await order_keeping.count(session, "unpaid") == 1

    await until(given_up)
    assert time.monotonic() - begin >= 1


async def test_a_worker_starts_no_more_a_second_than_the_rate_says(shop: httpx2.AsyncClient, user_id: int) -> None:
    tasks = [await queue(shop, "sum_orders", user_id=user_id) for _ in range(4)]
    first, *_, last = sorted([await started_at(shop, task) for task in tasks])
    assert last - first > timedelta(seconds=1.4)


@pytest.mark.usefixtures("orders")
async def test_a_task_that_runs_for_too_long_cleans_up_and_fails(shop: httpx2.AsyncClient, exports: Path) -> None:
    export = NewTask(export_orders, {"pause": 1}, owner="shop")
    found = await outcome(shop, await queue_with(export, soft_time_limit=1, time_limit=20))
    assert (found["status"], found["error"]["type"]) == ("FAILURE", "SoftTimeLimitExceeded")
    assert left(exports) == []


async def test_a_task_that_runs_for_too_long_may_end_with_what_it_has(shop: httpx2.AsyncClient, exports: Path) -> None:
    for number in range(30):
        (exports / f"{number}.csv").write_text("id\n")
    packing = NewTask(pack_exports, {"pause": 0.2}, owner="shop")
    found = await outcome(shop, await queue_with(packing, soft_time_limit=2, time_limit=20))
    assert found["status"] == "SUCCESS"
    assert found["result"]["packed"] + found["result"]["left"] == 30
    assert 0 < found["result"]["left"] == len(left(exports, "*.csv")) < 30
    assert not left(exports, "*.part")


async def test_a_run_that_another_one_keeps_out_is_tried_again_later(shop: httpx2.AsyncClient, exports: Path) -> None:
    (exports / "a.csv").write_text("id\n")

    async def kept_out() -> bool:
        return bool((await shop.get(packing)).json()["status"] == "RETRY")

    with single_run(pack_exports):
        packing = await queue(shop, "pack_exports")
        await until(kept_out)
        assert left(exports) == ["a.csv"]
    assert (await outcome(shop, packing))["result"] == {"packed": 1, "left": 0}


@pytest.mark.usefixtures("orders")
async def test_an_export_that_is_cancelled_leaves_nothing_behind(shop: httpx2.AsyncClient, exports: Path) -> None:
    export = await queue(shop, "export_orders", pause=1)
    await under_way(shop, export)
    assert left(exports, "*.part")
    assert (await shop.delete(export)).status_code == 202

    async def gone() -> bool:
        return not left(exports)

    await until(gone)
    assert (await outcome(shop, export))["status"] == "REVOKED"


async def test_a_task_whose_worker_was_killed_is_started_again_and_ends_right(
    shop: httpx2.AsyncClient, session: AsyncSession, orders: int
) -> None:
    location = await queue(shop, "give_up_overdue_orders", pause=1)

    async def given_up() -> int:
        async with session.begin():
            return await order_keeping.count(session, "unpaid")

    assert await until(given_up) < orders
    await kill_worker_process()
    found = await outcome(shop, location)
    assert (found["status"], found["result"]["skipped"]) == ("SUCCESS", False), "its own lock did not keep it out"
    assert await given_up() == orders


async def test_an_export_whose_worker_was_killed_is_whole_in_the_end(
    shop: httpx2.AsyncClient, orders: int, exports: Path
) -> None:
    location = await queue(shop, "export_orders", pause=0.5)
    await under_way(shop, location)
    await kill_worker_process()
    found = await outcome(shop, location)
    assert (found["status"], found["result"]["orders"]) == ("SUCCESS", orders)
    assert len((exports / found["result"]["file"]).read_text().splitlines()) == orders + 1
