"""A user's own task; the tests put this file into a service's app/tasks/."""

import asyncio
import socket

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init

NOTE = text("INSERT INTO proof (key, event, host) VALUES (:key, :event, :host)")


@celery_app.task(name="proof.work", exposed=True)
@with_db_init
async def work(*, key: str, seconds: float = 0, session: AsyncSession) -> str:
    """Write down that it started, take so many seconds, write down that it is done."""
    for event in ("started", "done"):
        async with session.begin():
            await session.execute(NOTE, {"key": key, "event": event, "host": socket.gethostname()})
        await asyncio.sleep(seconds if event == "started" else 0)
    return socket.gethostname()
