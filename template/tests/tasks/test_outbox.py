"""Tasks that were to be queued after a commit, and are not yet."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import task_outbox
from app.core.resources import UnavailableError
from app.core.task_outbox import enqueue_after_commit
from app.core.task_outbox_entry import OutboxEntry
from app.core.task_queue import TaskQueue
from app.tasks import outbox, users


@pytest.fixture
async def left_behind(session: AsyncSession, redis_server: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a task that nobody has queued after the commit."""
    monkeypatch.setattr(task_outbox, "RELAY_AFTER", timedelta())
    async with session.begin():
        return enqueue_after_commit(session, users.update_stats)


async def test_relay_queues_what_was_left_behind(left_behind: str, session: AsyncSession, broker: Redis) -> None:
    assert outbox.relay() == 1
    assert broker.llen("default") + sum(broker.llen(key) for key in broker.scan_iter("default\x06*")) == 1
    assert await session.scalar(select(func.count()).select_from(OutboxEntry)) == 0
    assert outbox.relay() == 0


async def test_relay_leaves_it_to_its_next_run_where_the_queue_is_away(
    left_behind: str, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    async def refuse(*_: object) -> str:
        raise UnavailableError("The task queue is not available; try again soon.")

    monkeypatch.setattr(TaskQueue, "enqueue", refuse)
    assert outbox.relay() == 0
    assert await session.scalar(select(OutboxEntry.id)) == left_behind
    assert [entry["level"] for entry in log() if entry["event"] == "the outbox waits"] == ["warning"]
