"""Daily figures about the users."""

from datetime import UTC, date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.user_statistics import UserStatistics
from app.models.users import User
from app.services import user_statistics

DAY = date(2026, 5, 4)
MIDNIGHT = datetime(2026, 5, 4, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


async def add(session: AsyncSession, *, created_at: datetime, last_activity: datetime | None = None) -> None:
    async with session.begin():
        number = len((await session.scalars(select(User.id))).all())
        email = f"user{number}@example.org"
        session.add(User(email=email, name="Ada", created_at=created_at, last_activity=last_activity))


async def test_a_day_lasts_from_midnight_to_midnight_utc(session: AsyncSession) -> None:
    for last_activity in (MIDNIGHT - MOMENT, MIDNIGHT, MIDNIGHT + timedelta(days=1) - MOMENT, MIDNIGHT + timedelta(1)):
        await add(session, created_at=MIDNIGHT, last_activity=last_activity)
    assert await user_statistics.count_active(session, DAY) == 2


async def test_users_who_came_later_do_not_count(session: AsyncSession) -> None:
    await add(session, created_at=MIDNIGHT - timedelta(days=9))
    await add(session, created_at=MIDNIGHT + timedelta(days=1))
    async with session.begin():
        figures = await user_statistics.update(session, DAY)
    assert (figures.day, figures.users, figures.active) == (DAY, 1, 0)


async def test_figures_that_are_counted_again_replace_the_first(session: AsyncSession) -> None:
    async with session.begin():
        await user_statistics.update(session, DAY)
    await add(session, created_at=MIDNIGHT, last_activity=MIDNIGHT)
    async with session.begin():
        await user_statistics.update(session, DAY)
    (kept,) = (await session.scalars(select(UserStatistics))).all()
    assert (kept.day, kept.users, kept.active) == (DAY, 1, 1)
