"""The recipes' schedule in all three processes: a real beat queues it, a real worker does it, the API tells of it."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app
from app.core.task_keys import FIRST_SEEN, LAST_RUNS
from app.models.orders import Order
from app.models.users import User
from app.services import order_keeping
from tests.fixtures.redis import database_url
from tests.fixtures.worker import PATIENCE, ROOT, run_task, until

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def noted() -> Iterator[Redis]:
    """What beat has noted; the queues, and the worker's heart, are left as they are."""
    with Redis.from_url(database_url(15), decode_responses=True) as results:
        yield results


@pytest.fixture
def beat(noted: Redis) -> Iterator[None]:
    """At its start one entry is due."""
    noted.hset(LAST_RUNS, "give up overdue orders", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    command = [sys.executable, "-m", "celery", "-A", "app.core.celery:celery_app", "beat"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()


async def test_what_is_due_is_queued_by_beat_and_done_by_a_worker(
    shop: httpx2.AsyncClient, session: AsyncSession, noted: Redis, request: pytest.FixtureRequest
) -> None:
    async with session.begin():
        session.add(user := User(email="ada@example.org", name="Ada"))
        await session.flush()
        order: dict[str, Any] = {"user_id": user.id, "total_cents": 100, "currency": "EUR"}
        session.add(Order(reference="A-1", ordered_at=datetime.now(UTC) - timedelta(days=15), **order))
    await run_task(shop, "control.count_orders")  # the worker is up
    begin = datetime.now(UTC)
    request.getfixturevalue("beat")

    async def seen() -> bool:
        return set(noted.hkeys(FIRST_SEEN)) == set(celery_app.conf.beat_schedule)

    async def given_up() -> bool:
        async with session.begin():
            return await order_keeping.count(session, "unpaid") == 1

    await until(seen)
    await until(given_up)
    told = {entry["name"]: entry for entry in (await shop.get("/api/v1/schedule")).json()}
    assert told.keys() == celery_app.conf.beat_schedule.keys()
    last_run = datetime.fromisoformat(told["give up overdue orders"]["last_run"])
    assert begin <= last_run <= datetime.now(UTC)
    next_run = datetime.fromisoformat(told["give up overdue orders"]["next_run"])
    assert abs(next_run - last_run - timedelta(minutes=15)) < timedelta(seconds=2)
    assert told["pack exports"]["schedule"] == "<solar: sunset at latitude 52.52, longitude: 13.405>"
