"""A Celery app as tutorials teach it: default settings, and a new event loop and engine for each database task."""

import asyncio
import os
from typing import Any

from celery import Celery
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from chaos import tasks

app: Celery[Any] = Celery(
    "tutorial", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"]
)
app.conf.beat_schedule = tasks.SCHEDULE


@app.task(name="chaos.database", **tasks.UNTIL_IT_ANSWERS)
def database(*, key: str) -> None:
    async def write() -> None:
        engine = create_async_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"))
        try:
            async with engine.begin() as connection:
                await connection.execute(text(tasks.INSERT), {"key": key})
        finally:
            await engine.dispose()

    with tasks.recorded(database, key):
        asyncio.run(write())
