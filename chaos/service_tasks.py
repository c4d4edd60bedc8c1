"""What the injector puts into the service's app/tasks/: every design's tasks, and one with a database."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from chaos import tasks

celery_app.conf.beat_schedule.update(tasks.SCHEDULE)


@celery_app.task(name="chaos.database", **tasks.UNTIL_IT_ANSWERS)
@with_db_init
async def database(*, key: str, session: AsyncSession) -> None:
    with tasks.recorded(database, key):
        async with session.begin():
            await session.execute(text(tasks.INSERT), {"key": key})
