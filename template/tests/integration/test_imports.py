"""Files of orders from the upload to their rows, with a real worker."""

import os
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order
from app.services import order_import
from tests.fixtures.worker import outcome, until

pytestmark = pytest.mark.usefixtures("worker")

IMPORTS = "/api/v1/imports"
HEADER = "reference,email,total_cents,currency,ordered_at\n"
ROWS = 40_000


@pytest.fixture
async def ada(shop: httpx2.AsyncClient) -> None:
    await shop.post("/api/v1/users", json={"email": "ada@example.org", "name": "Ada"})


async def send(shop: httpx2.AsyncClient, content: str) -> str:
    """Where its task is."""
    queued = await shop.post(IMPORTS, content=content.encode(), headers={"Content-Type": "text/csv"})
    assert queued.status_code == 202, queued.text
    location: str = queued.headers["Location"]
    return location


async def send_many(shop: httpx2.AsyncClient) -> str:
    """And wait until a part of them is imported."""
    rows = (f"{number},ada@example.org,5,EUR,2026-10-01T12:00:00Z\n" for number in range(ROWS))
    location = await send(shop, HEADER + "".join(rows))

    async def under_way() -> bool:
        progress: dict[str, Any] | None = (await shop.get(location)).json()["progress"]
        return bool(progress and progress["current"])

    await until(under_way)
    return location


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


async def count(session: AsyncSession) -> int:
    async with session.begin():
        return await session.scalar(select(func.count()).select_from(Order)) or 0


async def test_a_file_is_imported_and_its_bad_rows_can_be_read(shop: httpx2.AsyncClient, ada: None) -> None:
    rows = "1,ada@example.org,5,EUR,2026-10-01T12:00:00Z\n2,bob@example.org,5,EUR,2026-10-01T12:00:00Z\n"
    task = await outcome(shop, await send(shop, HEADER + rows))
    assert task["status"] == "SUCCESS", task
    assert (task["result"]["imported"], task["result"]["bad"]) == (1, 1)
    report = await shop.get(task["result"]["report"])
    assert report.text.splitlines()[1].startswith("3,email: there is no such user,2,bob@example.org")


async def test_a_file_that_is_none_of_orders_fails_and_says_why(shop: httpx2.AsyncClient) -> None:
    task = await outcome(shop, await send(shop, "name\nAda\n"))
    assert (task["status"], task["error"]["type"]) == ("FAILURE", "FileRefusedError")
    assert "'reference' is missing" in task["error"]["message"]


async def test_an_import_whose_worker_is_killed_ends_with_all_orders(
    shop: httpx2.AsyncClient, ada: None, session: AsyncSession
) -> None:
    location = await send_many(shop)
    (worker,) = children(os.getpid())
    for process in children(worker):
        os.kill(process, signal.SIGKILL)
    assert 0 < await count(session) < ROWS
    task = await outcome(shop, location)
    assert task["status"] == "SUCCESS", task
    assert task["result"] == {"rows": ROWS, "imported": ROWS, "duplicates": 0, "bad": 0, "errors": [], "report": None}
    assert await count(session) == ROWS


async def test_an_import_that_is_cancelled_stops_in_the_middle(
    shop: httpx2.AsyncClient, ada: None, session: AsyncSession
) -> None:
    location = await send_many(shop)
    assert (await shop.delete(location)).status_code == 202
    assert (await outcome(shop, location))["status"] == "REVOKED"
    after = await outcome(shop, await send(shop, HEADER))  # the worker is free again
    assert after["status"] == "SUCCESS"
    assert 0 < await count(session) < ROWS
    upload = order_import.upload_of(UUID(location.rpartition("/")[2]))
    assert [file for file in upload.parent.iterdir() if file.stem.startswith(upload.stem)] == [upload]
