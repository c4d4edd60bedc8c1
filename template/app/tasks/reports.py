"""Reports that take a while."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.task_base import BaseTask
from app.services import user_statistics


@celery_app.task(name="reports.activity", bind=True, exposed=True)
@with_db_init
async def activity(
    self: BaseTask[..., Any], *, days: Annotated[int, Field(ge=1, le=366)] = 30, session: AsyncSession
) -> dict[str, int]:
    """How many users were last active on each of the past days, today included, by date."""
    today = datetime.now(UTC).date()
    counts = {}
    for done in range(days):
        day = today - timedelta(days=done)
        counts[day.isoformat()] = await user_statistics.count_active(session, day)
        self.report_progress(done + 1, days, f"counted {day}")
    return counts
