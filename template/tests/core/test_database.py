"""Engines and sessions, on the event loop of a process and on those that come and go."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import Pool

from app.core import database as module
from app.core.config.database import DatabaseSettings, get_database_settings
from app.core.database import create_engine, get_db, get_engine, is_away, open_session
from app.core.database import database as database_resource
from app.core.resources import UnavailableError, open_resources
from app.models.users import User


@pytest.fixture
def connections(database: None) -> Iterator[list[object]]:
    """Those that have been opened since, and not closed; and those that were cut off in the middle of something."""
    opened: list[object] = []

    def add(connection: object, _record: object) -> None:
        opened.append(connection)

    def remove(connection: object, _record: object) -> None:
        opened.remove(connection)

    def keep(_connection: object, _record: object, error: object) -> None:
        opened.append(f"cut off: {error!r}")

    event.listen(Pool, "invalidate", keep)
    event.listen(Pool, "connect", add)
    event.listen(Pool, "close", remove)
    yield opened
    event.remove(Pool, "invalidate", keep)
    event.remove(Pool, "connect", add)
    event.remove(Pool, "close", remove)


async def test_an_opened_loop_has_one_engine_with_a_pool(connections: list[object]) -> None:
    async with open_resources():
        engine = get_engine()
        for _ in range(3):
            async for db in get_db():
                await db.execute(text("SELECT 1"))
                assert db.bind is engine
        assert len(connections) == 1
    assert connections == []


async def test_sessions_wait_for_a_connection_when_the_pool_is_used_up(connections: list[object]) -> None:
    size = get_database_settings().pool_size

    async def work() -> None:
        async with open_session() as session:
            await session.execute(text("SELECT 1"))
            await asyncio.sleep(0)

    async with open_resources():
        await asyncio.gather(*(work() for _ in range(3 * size)))
        assert 1 <= len(connections) <= size


def test_a_short_lived_loop_leaves_no_connection(connections: list[object]) -> None:
    async def count() -> int:
        async for db in get_db():
            found = await db.scalar(select(func.count()).select_from(User))
            assert len(connections) == 1
        assert connections == []
        return found or 0

    assert [asyncio.run(count()) for _ in range(3)] == [0, 0, 0]


def test_returning_out_of_get_db_leaves_neither_connection_nor_warning(connections: list[object]) -> None:
    async def find() -> int | None:
        async for db in get_db():
            return await db.scalar(select(func.count()).select_from(User))
        return None

    assert asyncio.run(find()) == 0
    gc.collect()  # what was left behind would complain now
    assert connections == []


@pytest.mark.parametrize("turns", range(6))
def test_a_loop_that_ends_soon_after_get_db_was_left_cuts_no_connection_off(
    connections: list[object], log: Callable[[], list[dict[str, Any]]], turns: int
) -> None:
    async def find() -> None:
        async for db in get_db():
            await db.scalar(select(func.count()).select_from(User))
            break
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run(find())
    gc.collect()
    assert connections == []
    assert log() == []


def test_an_error_inside_get_db_rolls_back_and_leaves_no_connection(connections: list[object]) -> None:
    async def fail() -> None:
        async for db in get_db():
            db.add(User(email="ada@example.org", name="Ada"))
            await db.flush()
            raise ValueError("no")

    async def count() -> int | None:
        async with open_session() as session:
            return await session.scalar(select(func.count()).select_from(User))

    with pytest.raises(ValueError, match="no"):
        asyncio.run(fail())
    gc.collect()
    assert connections == []
    assert asyncio.run(count()) == 0


async def test_get_db_commits_nothing_by_itself(session: AsyncSession) -> None:
    async for db in get_db():
        db.add(User(email="ada@example.org", name="Ada"))
        await db.flush()
    assert await session.scalar(select(func.count()).select_from(User)) == 0


async def test_what_is_committed_in_get_db_stays(session: AsyncSession) -> None:
    async for db in get_db():
        async with db.begin():
            db.add(User(email="ada@example.org", name="Ada"))
    assert await session.scalar(select(func.count()).select_from(User)) == 1


async def test_the_check_of_a_database_that_answers_passes(database: None) -> None:
    async with open_resources():
        await database_resource.check()


async def test_a_moment_comes_back_in_utc(session: AsyncSession) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada", last_activity=moment))
    session.expire_all()
    user = (await session.scalars(select(User))).one()
    assert user.last_activity == moment
    assert user.last_activity is not None
    assert user.last_activity.utcoffset() == timedelta(0)
    assert user.created_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - user.created_at) < timedelta(minutes=1)


async def test_a_database_that_cannot_be_reached_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = DatabaseSettings(url="sqlite+aiosqlite:////no/such/folder/service.db")
    monkeypatch.setattr(module, "get_database_settings", lambda: nowhere)
    engine = create_engine()
    threads = set(threading.enumerate())
    with pytest.raises(UnavailableError) as raised:
        async with engine.connect():
            pass
    for thread in set(threading.enumerate()) - threads:  # the driver's own, which has a last word for this event loop
        await asyncio.to_thread(thread.join)
    assert is_away(raised.value)
    assert "unable to open" in str(raised.value.__cause__)
    await engine.dispose()


def test_a_connection_that_was_cut_is_an_outage_and_a_wrong_statement_is_none() -> None:
    cause = Exception("of the driver")
    assert is_away(DBAPIError("SELECT 1", {}, cause, connection_invalidated=True))
    for error in (OperationalError("SELEC 1", {}, cause), IntegrityError("INSERT", {}, cause), ValueError("no")):
        assert not is_away(error)


async def test_what_was_written_in_a_savepoint_is_rolled_back_with_its_transaction(session: AsyncSession) -> None:
    async with session.begin() as transaction:
        async with session.begin_nested():
            session.add(User(email="ada@example.org", name="Ada"))
        await transaction.rollback()
    async with open_session() as other:
        assert await other.scalar(select(func.count()).select_from(User)) == 0
