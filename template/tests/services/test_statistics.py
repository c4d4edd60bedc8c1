"""How the figures are counted."""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.models.users import User
from app.services import statistics

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def test_users_count_by_their_last_activity(session: AsyncSession) -> None:
    ages = [None, timedelta(minutes=1), timedelta(hours=23), timedelta(hours=25), timedelta(days=6), timedelta(days=8)]
    async with session.begin():
        session.add_all(
            User(email=f"user{number}@example.org", name="Ada", last_activity=age and NOON - age)
            for number, age in enumerate(ages)
        )
    figures = await statistics.count(session, NOON)
    assert (figures.users, figures.active_today, figures.active_this_week) == (6, 2, 4)
    assert figures.counted_at == NOON


async def test_without_users_all_figures_are_0(session: AsyncSession) -> None:
    figures = await statistics.count(session, NOON)
    assert (figures.users, figures.active_today, figures.active_this_week) == (0, 0, 0)
