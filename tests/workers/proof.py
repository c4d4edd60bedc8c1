"""A user's own tasks, in the forms that `with_db_init` serves; the tests put this file into a service's app/tasks/."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import Any, Literal
from uuid import uuid4

import structlog
from celery.exceptions import Reject, SoftTimeLimitExceeded
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.database import get_db
from app.core.redis import cache
from app.core.task_base import BaseTask
from app.models.users import User

logger = structlog.stdlib.get_logger(__name__)


@celery_app.task(name="proof.use_session", exposed=True)
@with_db_init
async def use_session(*, key: str, session: AsyncSession) -> int:
    async with session.begin():
        session.add(User(email=key, name="use_session"))
    await session.scalar(select(User.id).where(User.email == key))
    return os.getpid()


@celery_app.task(name="proof.use_get_db")
@with_db_init
def use_get_db(key: str) -> int:
    async def work() -> None:
        async for db in get_db():
            async with db.begin():
                db.add(User(email=key, name="use_get_db"))
            await db.scalar(select(User.id).where(User.email == key))

    asyncio.run(work())
    return os.getpid()


@celery_app.task(name="proof.leave_get_db_early")
@with_db_init
def leave_get_db_early(key: str) -> int:
    async def work() -> str | None:
        async for db in get_db():
            async with db.begin():
                db.add(User(email=key, name="leave_get_db_early"))
            return await db.scalar(select(User.email).where(User.email == key))
        return None

    assert asyncio.run(work()) == key
    return os.getpid()


@celery_app.task(name="proof.without_a_loop")
@with_db_init
def without_a_loop(key: str) -> int:
    return os.getpid()


@celery_app.task(name="proof.hold", exposed=True)
@with_db_init
async def hold(
    *, key: str, seconds: float, where: Literal["database", "loop"] = "database", session: AsyncSession
) -> int:
    """Keep a transaction open while the database, or the event loop, waits."""
    async with session.begin():
        session.add(User(email=key, name="hold"))
        await session.flush()
        if where == "database":
            await session.execute(select(func.pg_sleep(seconds)))
        else:
            await asyncio.sleep(seconds)
    return os.getpid()


@celery_app.task(name="proof.hold_in_asyncio_run")
@with_db_init
def hold_in_asyncio_run(key: str, seconds: float) -> int:
    async def work() -> None:
        async for db in get_db():
            async with db.begin():
                db.add(User(email=key, name="hold_in_asyncio_run"))
                await db.flush()
                await db.execute(select(func.pg_sleep(seconds)))

    asyncio.run(work())
    return os.getpid()


@celery_app.task(name="proof.start_and_wait", exposed=True)
@with_db_init
async def start_and_wait(*, key: str, seconds: float = 0, session: AsyncSession) -> int:
    """Each start is a row of its own."""
    async with session.begin():
        session.add(User(email=f"{key}, start {uuid4()}", name="start_and_wait"))
    await asyncio.sleep(seconds)
    return os.getpid()


@celery_app.task(name="proof.kill_process")
def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@celery_app.task(name="proof.count")
def count(results: list[int]) -> int:
    return len(results)


@celery_app.task(name="proof.fail_with_session")
@with_db_init
async def fail_with_session(*, key: str, session: AsyncSession) -> None:
    session.add(User(email=key, name="fail"))
    await session.flush()
    raise ValueError(key)


@celery_app.task(name="proof.fail_with_get_db")
@with_db_init
def fail_with_get_db(key: str) -> None:
    async def work() -> None:
        async for db in get_db():
            db.add(User(email=key, name="fail"))
            await db.flush()
            raise ValueError(key)

    asyncio.run(work())


@celery_app.task(name="proof.tell_request", bind=True, exposed=True)
@with_db_init
async def tell_request(self: BaseTask[..., Any], *, session: AsyncSession) -> str:
    await session.scalar(select(1))
    self.report_progress(1, 2, "half of it")
    logger.info("in the task")
    request_id: str = self.request.id
    await asyncio.sleep(0.5)
    return request_id


@celery_app.task(
    name="proof.check",
    autoretry_for=(Exception,),
    max_retries=5,
    retry_backoff=1,
    retry_backoff_max=1,
    retry_jitter=True,
)
@with_db_init
async def check(*, times: int = 1) -> None:
    """As system.check, with pauses of at most a second."""
    for _ in range(times):
        await cache.check()


@celery_app.task(name="proof.fail", exposed=True, max_retries=1, soft_time_limit=1, time_limit=2)
def fail(*, key: str, how: Literal["error", "retries", "rejected", "time limit"] = "error") -> None:
    """Fail for good."""
    match how:
        case "error":
            raise ValueError(key)
        case "retries":
            raise fail.retry(exc=ValueError(key), countdown=0)
        case "rejected":
            raise Reject(key)
        case "time limit":
            with suppress(SoftTimeLimitExceeded):
                time.sleep(60)
            time.sleep(60)


@celery_app.task(name="proof.until_aborted", bind=True, exposed=True)
def until_aborted(self: BaseTask[..., Any], *, key: str, seconds: float = 30) -> None:
    """Ask again and again whether it was cancelled, and leave a note then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if self.is_aborted():
            logger.info("cleaned up", key=key)
            return
        time.sleep(0.01)


@celery_app.task(name="proof.walk", bind=True, exposed=True)
def walk(self: BaseTask[..., Any], *, steps: int, seconds: float = 0) -> int:
    """Report each step."""
    for step in range(1, steps + 1):
        if seconds:
            time.sleep(seconds / steps)
        self.report_progress(step, steps)
    return steps
