"""What a process that died or an outage has left in the outbox is queued by the relay."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import task_outbox
from app.core.resources import UnavailableError
from app.core.task_message import NewTask
from app.core.task_outbox import enqueue_after_commit, relay
from app.core.task_outbox_entry import OutboxEntry
from app.core.task_queue import TaskQueue, task_queue
from app.tasks import users
from tests.core.outbox import entries, queued


async def wait_in_outbox(session: AsyncSession, count: int = 1) -> list[str]:
    """As if the process had died right after the commit, a while ago; the ids of the tasks."""
    moment = datetime.now(UTC) - timedelta(minutes=1)
    written = [
        OutboxEntry(
            id=f"0198c7a4-{number:04}",
            name="users.update_stats",
            arguments={},
            created_at=moment + timedelta(milliseconds=number),
            relay_at=moment + timedelta(milliseconds=number),
        )
        for number in range(count)
    ]
    async with session.begin():
        session.add_all(written)
    return [entry.id for entry in written]


async def test_the_relay_queues_what_was_left_behind_the_oldest_first(
    queue: TaskQueue, session: AsyncSession, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_outbox, "BATCH", 3)
    ids = await wait_in_outbox(session, 8)
    assert await relay() == 8
    assert queued(broker) == ids
    assert await entries() == []
    assert await relay() == 0


async def test_the_relay_leaves_what_was_only_just_committed_to_its_process(
    session: AsyncSession, redis_server: None, broker: Redis
) -> None:
    async with session.begin():
        enqueue_after_commit(session, users.update_stats)
    async with task_queue.open():
        assert await relay() == 0
    assert queued(broker) == []
    assert len(await entries()) == 1


async def test_what_was_pushed_before_a_crash_is_queued_once(
    queue: TaskQueue, session: AsyncSession, broker: Redis
) -> None:
    (task_id,) = await wait_in_outbox(session)
    await queue.enqueue(NewTask(users.update_stats, {}, task_id=task_id))
    assert await relay() == 1
    assert queued(broker) == [task_id]
    assert await entries() == []


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ({"name": "users.no_such_task"}, "there is no task users.no_such_task"),
        ({"arguments": {"day": "someday"}}, "day: "),
    ],
)
async def test_an_entry_that_cannot_be_queued_keeps_no_other_back(
    queue: TaskQueue, session: AsyncSession, broker: Redis, broken: dict[str, Any], error: str
) -> None:
    first, second, third = await wait_in_outbox(session, 3)
    async with session.begin():
        await session.execute(update(OutboxEntry).where(OutboxEntry.id == first).values(broken))
    assert await relay() == 3
    assert queued(broker) == [second, third]
    (entry,) = await entries()
    assert entry.id == first
    assert entry.error
    assert error in entry.error
    assert await relay() == 0


async def test_an_entry_that_cannot_be_queued_is_told_by_its_id(
    queue: TaskQueue, session: AsyncSession, log: Callable[[], list[dict[str, Any]]]
) -> None:
    (task_id,) = await wait_in_outbox(session)
    async with session.begin():
        await session.execute(update(OutboxEntry).values(name="users.no_such_task"))
    await relay()
    (told,) = (entry for entry in log() if entry["level"] == "error")
    assert told["task_id"] == task_id
    assert "no_such_task" in told["error"]


async def test_an_entry_that_could_not_be_queued_is_tried_again_later(
    queue: TaskQueue, session: AsyncSession, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_outbox, "TRY_AGAIN_AFTER", timedelta(seconds=-1))
    monkeypatch.setattr(task_outbox, "RELAY_SECONDS", 0.1)
    (task_id,) = await wait_in_outbox(session)
    async with session.begin():
        await session.execute(update(OutboxEntry).values(name="users.of_a_newer_version"))
    assert await relay() > 1
    async with session.begin():
        await session.execute(update(OutboxEntry).values(name="users.update_stats"))
    await relay()
    assert queued(broker) == [task_id]


async def test_the_relay_stops_where_the_queue_is_away(refused: list[str], session: AsyncSession) -> None:
    ids = await wait_in_outbox(session, 3)
    with pytest.raises(UnavailableError):
        await relay()
    assert refused == ids[:1]
    assert {entry.id for entry in await entries()} == set(ids)


async def test_the_relay_begins_with_another_entry_after_one_was_refused(
    refused: list[str], session: AsyncSession
) -> None:
    ids = await wait_in_outbox(session, 3)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await relay()
    assert refused == ids[:2]


async def test_what_was_queued_before_an_outage_is_not_queued_again(
    queue: TaskQueue, session: AsyncSession, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await wait_in_outbox(session, 3)
    enqueue: Callable[..., Awaitable[str]] = TaskQueue.enqueue

    async def enqueue_one(queue: TaskQueue, new: NewTask) -> str:
        if new.task_id != ids[0]:
            raise UnavailableError("away")
        return await enqueue(queue, new)

    with monkeypatch.context() as outage:
        outage.setattr(TaskQueue, "enqueue", enqueue_one)
        with pytest.raises(UnavailableError):
            await relay()
    assert {entry.id for entry in await entries()} == set(ids[1:])
