"""Tasks that are queued if, and only if, a transaction is committed."""

import asyncio
import base64
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from asgi_correlation_id import correlation_id
from pydantic import BaseModel
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import task_outbox
from app.core.celery import celery_app
from app.core.database import get_engine, open_session
from app.core.resources import UnavailableError
from app.core.task_arguments import ArgumentsError
from app.core.task_outbox import enqueue_after_commit, relay
from app.core.task_owner import owner
from app.core.task_queue import TaskQueue
from app.models.users import User
from app.tasks import reports, users
from tests.core.outbox import entries, queued

pytestmark = pytest.mark.usefixtures("database")


async def pushed() -> None:
    """Return when what was committed so far has been pushed, or could not be."""
    pusher = task_outbox._pushers.get(asyncio.get_running_loop())
    if pusher and pusher._task:
        await pusher._task


async def test_a_task_is_queued_as_it_was_asked_for(queue: TaskQueue, session: AsyncSession, broker: Redis) -> None:
    correlation_id.set("0198c7a46f0e4b6e9f2e6a1d5b7c9e10")
    owner.set("shop")
    eta = datetime.now(UTC) + timedelta(hours=1)
    async with session.begin():
        task_id = enqueue_after_commit(session, users.update_stats, day=date(2026, 5, 4), task_eta=eta, task_priority=9)
    await pushed()
    (message,) = (json.loads(text) for text in broker.lrange("default", 0, -1))
    headers = message["headers"]
    assert (headers["id"], headers["task"]) == (task_id, "users.update_stats")
    assert (headers["owner"], headers["request_id"]) == ("shop", "0198c7a46f0e4b6e9f2e6a1d5b7c9e10")
    assert datetime.fromisoformat(headers["eta"]) == eta
    assert json.loads(base64.b64decode(message["body"]))[:2] == [[], {"day": "2026-05-04"}]
    assert await entries() == []
    found = await queue.find(task_id)
    assert found
    assert (found.status, found.owner) == ("PENDING", "shop")


async def test_the_owner_of_a_task_can_be_told(queue: TaskQueue, session: AsyncSession) -> None:
    async with session.begin():
        task_id = enqueue_after_commit(session, users.update_stats, task_owner="shop")
    await pushed()
    found = await queue.find(task_id)
    assert found
    assert found.owner == "shop"


async def test_a_countdown_begins_when_it_is_asked_for(session: AsyncSession) -> None:
    before = datetime.now(UTC)
    async with session.begin():
        enqueue_after_commit(session, users.update_stats, task_countdown=60)
    (entry,) = await entries()
    assert entry.eta
    assert before <= entry.eta - timedelta(seconds=60) <= datetime.now(UTC)


async def test_nothing_is_sent_before_the_commit(queue: TaskQueue, session: AsyncSession, broker: Redis) -> None:
    async with session.begin():
        task_id = enqueue_after_commit(session, users.update_stats)
        await session.flush()
        await relay()
        assert queued(broker) == []
    await pushed()
    assert queued(broker) == [task_id]


async def test_a_transaction_that_is_rolled_back_queues_nothing(
    queue: TaskQueue, session: AsyncSession, broker: Redis
) -> None:
    async with session.begin() as transaction:
        enqueue_after_commit(session, users.update_stats)
        await session.flush()
        await transaction.rollback()
    assert not session.info
    async with session.begin():
        task_id = enqueue_after_commit(session, users.update_stats)
    await pushed()
    assert queued(broker) == [task_id]
    assert await entries() == []


async def test_a_session_that_is_closed_without_a_commit_queues_nothing(queue: TaskQueue, broker: Redis) -> None:
    async with open_session() as session:
        enqueue_after_commit(session, users.update_stats)
        await session.flush()
    await pushed()
    assert queued(broker) == []
    assert await entries() == []


@pytest.mark.parametrize("flushed", [True, False])
async def test_a_savepoint_that_is_rolled_back_queues_nothing_of_its_own(
    queue: TaskQueue, session: AsyncSession, broker: Redis, flushed: bool
) -> None:
    async with session.begin():
        first = enqueue_after_commit(session, users.update_stats)
        async with session.begin_nested() as savepoint:
            enqueue_after_commit(session, users.update_stats)
            if flushed:
                await session.flush()
            await savepoint.rollback()
        async with session.begin_nested():
            third = enqueue_after_commit(session, users.update_stats)
        await pushed()
        assert queued(broker) == []
    await pushed()
    assert queued(broker) == [first, third]
    assert await entries() == []


async def test_a_commit_inside_a_savepoint_queues_all(queue: TaskQueue, session: AsyncSession, broker: Redis) -> None:
    await session.begin()
    first = enqueue_after_commit(session, users.update_stats)
    await session.begin_nested()
    second = enqueue_after_commit(session, users.update_stats)
    await session.commit()
    await pushed()
    assert queued(broker) == [first, second]


async def test_one_transaction_after_the_other_queues_its_own(
    queue: TaskQueue, session: AsyncSession, broker: Redis
) -> None:
    ids = []
    for _ in range(3):
        async with session.begin():
            ids += [enqueue_after_commit(session, users.update_stats) for _ in range(2)]
    await pushed()
    assert queued(broker) == ids


async def test_more_tasks_than_a_batch_are_queued_in_their_order(
    queue: TaskQueue, session: AsyncSession, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_outbox, "BATCH", 3)
    async with session.begin():
        ids = [enqueue_after_commit(session, users.update_stats) for _ in range(8)]
    await pushed()
    assert queued(broker) == ids
    assert await entries() == []


async def test_what_is_committed_meanwhile_is_queued_too(queue: TaskQueue, broker: Redis, database: None) -> None:
    async def commit_one() -> str:
        async with open_session() as session, session.begin():
            return enqueue_after_commit(session, users.update_stats)

    ids = [await commit_one() for _ in range(20)]
    await pushed()
    assert sorted(queued(broker)) == sorted(ids)


async def test_a_session_inside_a_transaction_of_others_waits_for_that(queue: TaskQueue, broker: Redis) -> None:
    async with get_engine().connect() as connection, connection.begin() as transaction:
        async with AsyncSession(connection) as session, session.begin():
            task_id = enqueue_after_commit(session, users.update_stats)
        await pushed()
        assert queued(broker) == []
        await transaction.commit()
    (entry,) = await entries()
    assert entry.id == task_id


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"days": 0}, "days"),
        ({"days": "many"}, "days"),
        ({"year": 2026}, "year"),
        ({"days": math.nan}, "days"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_before_anything_is_written(
    session: AsyncSession, arguments: dict[str, Any], named: str
) -> None:
    async with session.begin():
        with pytest.raises(ArgumentsError, match=named):
            enqueue_after_commit(session, reports.activity, **arguments)
        assert not session.new


async def test_what_json_cannot_say_is_refused(session: AsyncSession, any_task: Any) -> None:
    for arguments in ({"value": object()}, {"value": [math.inf]}, {"number": math.nan}, {"inner": {"number": "nan"}}):
        with pytest.raises(ArgumentsError, match=r"JSON cannot say it|finite"):
            enqueue_after_commit(session, any_task, **arguments)
    assert not session.new


async def test_all_that_json_can_say_comes_out_as_it_went_in(session: AsyncSession, any_task: Any) -> None:
    value = {"a": [1.5, None, True, 10**40], "\N{SNOWMAN}": "\n\N{PILE OF POO}", "": {}}
    async with session.begin():
        enqueue_after_commit(session, any_task, value=value)
    (entry,) = await entries()
    assert entry.arguments == {"value": value}


class Inner(BaseModel):
    number: float


@pytest.fixture
def any_task() -> Any:
    def take(value: Any = None, number: float = 0, inner: Inner | None = None) -> None: ...

    name = "proof.take"
    yield celery_app.task(name=name, shared=False)(take)
    celery_app.tasks.pop(name)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"task_priority": 10}, "0 to 9"),
        ({"task_priority": -1}, "0 to 9"),
        ({"task_eta": datetime(2026, 5, 4)}, "time zone"),  # noqa: DTZ001 (what is tested)
        ({"task_eta": datetime(2026, 5, 4, tzinfo=UTC), "task_countdown": 1}, "exclude"),
    ],
)
async def test_options_that_mean_nothing_are_refused(
    session: AsyncSession, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        enqueue_after_commit(session, users.update_stats, **options)
    assert not session.new


async def test_a_queue_that_is_away_fails_no_commit(
    refused: list[str], session: AsyncSession, log: Callable[[], list[dict[str, Any]]]
) -> None:
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada"))
        ids = [enqueue_after_commit(session, users.update_stats) for _ in range(3)]
    await pushed()
    assert refused == ids[:1]
    assert await session.scalar(select(func.count()).select_from(User)) == 1
    assert {entry.id for entry in await entries()} == set(ids)
    assert [entry["level"] for entry in log() if "wait for its relay" in entry["event"]] == ["warning"]


async def test_after_an_outage_the_next_commit_is_pushed_again(
    queue: TaskQueue, session: AsyncSession, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> str:
        raise UnavailableError("away")

    with monkeypatch.context() as outage:
        outage.setattr(TaskQueue, "enqueue", refuse)
        async with session.begin():
            enqueue_after_commit(session, users.update_stats)
        await pushed()
    async with session.begin():
        task_id = enqueue_after_commit(session, users.update_stats)
    await pushed()
    assert queued(broker) == [task_id]


async def test_what_an_outage_has_left_behind_is_not_tried_again_but_by_the_relay(
    refused: list[str], session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_outbox, "BATCH", 1)
    for _ in range(2):
        async with session.begin():
            ids = [enqueue_after_commit(session, users.update_stats) for _ in range(3)]
        await pushed()
        assert refused[-1] == ids[0]
    assert len(refused) == 2


async def test_where_no_queue_is_open_the_entry_waits_for_the_relay(
    session: AsyncSession, log: Callable[[], list[dict[str, Any]]]
) -> None:
    async with session.begin():
        task_id = enqueue_after_commit(session, users.update_stats)
    await pushed()
    (entry,) = await entries()
    assert entry.id == task_id
    assert log() == []
