"""Daily figures on a real PostgreSQL, written by many at once."""

import asyncio
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import open_session
from app.models.user_statistics import UserStatistics
from app.services import user_statistics

pytestmark = pytest.mark.usefixtures("postgresql")

DAYS = [date(2026, 5, 4) + timedelta(days=number) for number in range(20)]


async def update(day: date) -> None:
    async with open_session() as session, session.begin():
        await user_statistics.update(session, day)


async def test_the_first_figures_of_a_day_may_be_written_at_the_same_time(session: AsyncSession) -> None:
    for day in DAYS:
        await asyncio.gather(*(update(day) for _ in range(4)))
    assert await session.scalar(select(func.count()).select_from(UserStatistics)) == len(DAYS)
