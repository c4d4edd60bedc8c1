"""The database: the base of the tables, an engine for each event loop, sessions."""

import asyncio
import functools
import math
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, DateTime, Dialect, MetaData, NullPool, event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from app.core.config.database import get_database_settings
from app.core.resources import Resource, UnavailableError

IDLE_SECONDS = 5.0
"""A pooled connection that nobody has used for longer is asked whether it is alive before it is used."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, also on SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={  # so that a migration can name what it drops
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime()}  # noqa: RUF012 (SQLAlchemy's own way to declare it)


def create_engine(**options: Any) -> AsyncEngine:
    """An engine for DATABASE_URL. Nothing connects before its first use."""
    engine = create_async_engine(get_database_settings().url, **options)
    event.listen(engine.sync_engine, "do_connect", _connect)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "savepoint", _begin_before_savepoint)
    return engine


def _connect(dialect: Dialect, _record: object, arguments: Any, options: Any) -> Any:
    """Drivers show in many ways that there is no server: in those of sockets, of timeouts, and their own."""
    try:
        return dialect.connect(*arguments, **options)
    except Exception as error:
        raise UnavailableError("The database is not available; try again soon.") from error


def is_away(error: Exception) -> bool:
    """Whether the database could not be reached or has hung up, so that trying again may help."""
    return isinstance(error, UnavailableError) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers and one writer at a time, in several processes
    cursor.execute("PRAGMA busy_timeout = 5000")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_before_savepoint(connection: Connection, _name: str) -> None:
    """The driver begins a transaction before a change only, and the end of a savepoint outside of one would commit."""
    driver_connection: Any = connection.connection.driver_connection
    if not driver_connection.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@asynccontextmanager
async def _open_engine() -> AsyncIterator[AsyncEngine]:
    settings = get_database_settings()
    is_asyncpg = make_url(settings.url).get_driver_name() == "asyncpg"
    engine = create_engine(pool_size=settings.pool_size, max_overflow=0, pool_pre_ping=not is_asyncpg)
    if is_asyncpg:
        _ping_after_idling(engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def _ping_after_idling(engine: AsyncEngine) -> None:
    """Replace a connection that has died in the pool, without SQLAlchemy's `pool_pre_ping`.

    That costs asyncpg three round trips (BEGIN, a ping, ROLLBACK) at every checkout. The event loop goes on between two
    uses and sees at once that a server has hung up; only a connection that went dumb without a word has to be asked.
    """
    dialect = engine.sync_engine.dialect

    def note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    def check(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError
        if time.monotonic() - record.info.get("used_at", math.inf) > IDLE_SECONDS:
            try:
                dialect.do_ping(connection)
            except dialect.loaded_dbapi.Error as error:
                raise DisconnectionError from error

    event.listen(engine.sync_engine, "checkin", note)
    event.listen(engine.sync_engine, "checkout", check)


async def _check_engine(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


database = Resource("database", _open_engine, _check_engine)


def _leave_connections_to_parent() -> None:
    for engine in database.opened_anywhere():
        engine.sync_engine.dispose(close=False)


# A forked child must neither use nor close the sockets that it shares with its parent:
# https://docs.sqlalchemy.org/en/21/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork
os.register_at_fork(after_in_child=_leave_connections_to_parent)

_of_this_thread = threading.local()


def get_engine() -> AsyncEngine:
    """The running loop's pooled engine.

    A loop that nobody opened, such as that of an `asyncio.run(...)`, gets one without a pool, which holds nothing that
    belongs to a loop: each session has a connection of its own, and none outlives its session. The engine itself stays
    for the next such loop on its thread, with what it has learnt of the server and its compiled statements.
    """
    if database.is_open():
        return database.get()
    if not hasattr(_of_this_thread, "engine"):
        _of_this_thread.engine = create_engine(poolclass=NullPool)
    engine: AsyncEngine = _of_this_thread.engine
    return engine


SessionGenerator = AsyncGenerator[AsyncSession, None]
_unfinished: WeakKeyDictionary[asyncio.AbstractEventLoop, set[SessionGenerator]] = WeakKeyDictionary()


def _closed_with_its_loop(generate: Callable[[], SessionGenerator]) -> Callable[[], SessionGenerator]:
    """Keep a generator that is left early alive until its short-lived loop ends.

    `return` or `break` inside `async for db in get_db()` drops the generator, and Python then closes it in a task of
    its own, which `asyncio.run` does not wait for: the connection would be cut in mid-roll-back. A generator that is
    still referenced is closed, and waited for, by `loop.shutdown_asyncgens()`.
    """

    @functools.wraps(generate)
    def wrapper() -> SessionGenerator:
        generator = generate()
        if not database.is_open():
            unfinished = _unfinished.setdefault(asyncio.get_running_loop(), set())
            unfinished -= {one for one in unfinished if one.ag_frame is None}  # type: ignore[attr-defined]  # async generators have it
            unfinished.add(generator)
        return generator

    return wrapper


@_closed_with_its_loop
async def get_db() -> SessionGenerator:
    """A session: as a FastAPI dependency, or as `async for db in get_db():` anywhere else.

    It never commits by itself: whoever changes data writes `async with db.begin():`.
    """
    if database.is_open():
        async with open_session() as session:
            yield session
    else:  # without a pool, a session on the engine itself would connect for each of its transactions
        async with get_engine().connect() as connection, AsyncSession(connection, expire_on_commit=False) as session:
            yield session


def open_session() -> AsyncSession:
    """A session on the running loop's engine, to be used as `async with open_session() as session:`."""
    return AsyncSession(get_engine(), expire_on_commit=False)
