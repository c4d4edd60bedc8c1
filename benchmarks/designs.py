"""The same small piece of database work (find a user, note their activity) as a Celery task in every design compared.

database_tasks.py puts this file into app/tasks/ of a rendered service.
"""

import asyncio
from datetime import UTC, datetime
from functools import cache

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from app.core.celery import celery_app, with_db_init
from app.core.config.database import get_database_settings
from app.core.database import get_db
from app.models.users import User


@celery_app.task(name="design.naive")
def naive(user_id: int) -> None:
    async def work() -> None:
        engine = create_async_engine(get_database_settings().url)
        async with AsyncSession(engine) as session, session.begin():
            user = await session.get_one(User, user_id)
            user.last_activity = datetime.now(UTC)
        await engine.dispose()

    asyncio.run(work())


@celery_app.task(name="design.asynchronous")
@with_db_init
async def asynchronous(user_id: int, session: AsyncSession) -> None:
    async with session.begin():
        user = await session.get_one(User, user_id)
        user.last_activity = datetime.now(UTC)


@celery_app.task(name="design.plain")
@with_db_init
def plain(user_id: int) -> None:
    async def work() -> None:
        async for db in get_db():
            async with db.begin():
                user = await db.get_one(User, user_id)
                user.last_activity = datetime.now(UTC)

    asyncio.run(work())


@cache
def pooled_engine() -> Engine:
    settings = get_database_settings()
    url = make_url(settings.url).set(drivername="postgresql+psycopg")
    return create_engine(url, pool_size=settings.pool_size, max_overflow=0, pool_pre_ping=True)


@celery_app.task(name="design.synchronous")
def synchronous(user_id: int) -> None:
    with Session(pooled_engine()) as session, session.begin():
        user = session.get_one(User, user_id)
        user.last_activity = datetime.now(UTC)


@celery_app.task(name="design.nothing")
def nothing(user_id: int) -> None:
    """What Celery, the broker and the service's task class cost by themselves."""
