"""Daily figures on a real PostgreSQL, written by many at once."""

import asyncio
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.database import get_database_settings
from app.core.database import open_session
from app.models.user_statistics import UserStatistics
from app.services import user_statistics
from tests.fixtures import lacking

DAYS = [date(2026, 5, 4) + timedelta(days=number) for number in range(20)]


@pytest.fixture(autouse=True)
def _postgresql() -> None:
    if not get_database_settings().url.startswith("postgresql"):
        lacking("a PostgreSQL server", "TEST_DATABASE_URL")


async def update(day: date) -> None:
    async with open_session() as session, session.begin():
        await user_statistics.update(session, day)


async def test_the_first_figures_of_a_day_may_be_written_at_the_same_time(session: AsyncSession) -> None:
    for day in DAYS:
        await asyncio.gather(*(update(day) for _ in range(4)))
    assert await session.scalar(select(func.count()).select_from(UserStatistics)) == len(DAYS)
