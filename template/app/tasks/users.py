"""Background work on users."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.core.celery import celery_app, with_db_init
from app.services import user_cleanup, user_statistics

CLEANUP_BATCH = 500
Day = Annotated[date, Field(lt=date.max)]
"""The day after it is one too."""


class DayFigures(TypedDict):
    day: str
    users: int
    active: int


@celery_app.task(name="users.update_stats", exposed=True)
@with_db_init
async def update_stats(
    *, day: Annotated[Day | None, Field(examples=["2026-05-04"])] = None, session: AsyncSession
) -> DayFigures:
    """Count the users of a day (today, unless given) and write the figures down."""
    async with session.begin():
        figures = await user_statistics.update(session, day or datetime.now(UTC).date())
    return {"day": figures.day.isoformat(), "users": figures.users, "active": figures.active}


@celery_app.task(name="users.cleanup")
@with_db_init
async def cleanup(*, unused_for_days: Annotated[int, Field(ge=1)], session: AsyncSession) -> int:
    """Remove users who were never active and are older than so many days, batch by batch; returns how many."""
    created_before = datetime.now(UTC) - timedelta(days=unused_for_days)
    removed = 0
    while True:
        async with session.begin():
            batch = await user_cleanup.remove_unused(session, created_before=created_before, limit=CLEANUP_BATCH)
        removed += batch
        if batch < CLEANUP_BATCH:
            return removed
