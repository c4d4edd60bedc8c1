"""The figures of `users.update_stats`, in the other form of `with_db_init`."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from app.core.celery import celery_app, with_db_init
from app.core.database import get_db
from app.services import user_statistics
from app.tasks.users import Day, DayFigures


@celery_app.task(name="users.update_stats_plain", exposed=True)
@with_db_init
def update_stats_plain(*, day: Annotated[Day | None, Field(examples=["2026-05-04"])] = None) -> DayFigures:
    """Do what `users.update_stats` does, as a plain function with an event loop and a connection of its own."""

    async def update() -> DayFigures:
        async for db in get_db():
            async with db.begin():
                figures = await user_statistics.update(db, day or datetime.now(UTC).date())
        return {"day": figures.day.isoformat(), "users": figures.users, "active": figures.active}

    return asyncio.run(update())
