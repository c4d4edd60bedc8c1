"""The outbox on a real PostgreSQL: who pushes an entry holds it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import open_session
from app.core.task_message import NewTask
from app.core.task_outbox import enqueue_after_commit, relay
from app.core.task_outbox_entry import OutboxEntry
from app.core.task_queue import TaskQueue, task_queue
from app.tasks import users

pytestmark = pytest.mark.usefixtures("postgresql")


@pytest.fixture
async def left_behind(session: AsyncSession) -> list[str]:
    """The ids of 500 tasks that nobody has queued after the commit."""
    moment = datetime.now(UTC) - timedelta(minutes=1)
    async with session.begin():
        for number in range(500):
            arguments = {"day": f"2026-01-{number % 30 + 1:02}"}
            session.add(
                OutboxEntry(
                    id=f"0198c7a4-{number:04}",
                    name="users.update_stats",
                    arguments=arguments,
                    created_at=moment,
                    relay_at=moment,
                )
            )
    return [f"0198c7a4-{number:04}" for number in range(500)]


async def count(session: AsyncSession) -> int:
    async with session.begin():
        return await session.scalar(select(func.count()).select_from(OutboxEntry)) or 0


async def test_relays_at_once_push_no_entry_twice(
    left_behind: list[str], redis_server: None, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[str] = []

    async def note(_queue: TaskQueue, new: NewTask) -> str:
        await asyncio.sleep(0)  # let the other relay look
        pushed.append(new.task_id)
        return new.task_id

    monkeypatch.setattr(TaskQueue, "enqueue", note)
    async with task_queue.open():
        found = await asyncio.gather(relay(), relay())
    assert sorted(pushed) == left_behind
    assert sum(found) == 500
    assert all(found)
    assert await count(session) == 0


async def test_a_relay_passes_by_what_another_holds(
    left_behind: list[str], redis_server: None, session: AsyncSession
) -> None:
    async with task_queue.open():
        async with open_session() as other, other.begin():
            await other.execute(select(OutboxEntry).order_by(OutboxEntry.id).limit(7).with_for_update())
            assert await relay() == 493
        assert await relay() == 7


async def test_a_push_that_is_cut_off_leaves_the_entry(
    left_behind: list[str], redis_server: None, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> str:
        reached.set()
        await asyncio.Event().wait()
        return ""

    reached = asyncio.Event()
    async with task_queue.open():
        with monkeypatch.context() as hanging:
            hanging.setattr(TaskQueue, "enqueue", hang)
            pushing = asyncio.create_task(relay())
            await reached.wait()
            pushing.cancel()
            await asyncio.wait([pushing])
        assert await count(session) == 500
        assert await relay() == 500


async def test_a_task_is_queued_right_after_the_commit(
    redis_server: None, session: AsyncSession, broker: Redis
) -> None:
    async with task_queue.open():
        async with session.begin():
            task_id = enqueue_after_commit(session, users.update_stats, day=datetime.now(UTC).date())
        async with asyncio.timeout(5):
            while await count(session):  # noqa: ASYNC110 (nothing tells when)
                await asyncio.sleep(0.01)
        found = await task_queue.get().find(task_id)
    assert found
    assert found.status == "PENDING"
