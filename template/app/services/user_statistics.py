"""Daily figures about the users: written down, and reported over a span of days."""

from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.user_statistics import UserStatistics
from app.models.users import User


async def update(session: AsyncSession, day: date) -> UserStatistics:
    """Count the users of that day and write the figures down; done again, it replaces them."""
    users = await session.scalar(select(func.count()).select_from(User).where(User.created_at < _start(day, 1)))
    figures = UserStatistics(day=day, users=users or 0, active=await count_active(session, day))
    try:
        async with session.begin_nested():
            return await session.merge(figures)
    except IntegrityError:  # somebody else has written the first figures of that day meanwhile
        return await session.merge(figures)


async def count_active(session: AsyncSession, day: date) -> int:
    """How many users were last active on that day."""
    return await session.scalar(select(func.count()).select_from(User).where(_active_on(day))) or 0


def _active_on(day: date) -> ColumnElement[bool]:
    return User.last_activity.between(_start(day), _start(day, 1) - timedelta(microseconds=1))


def _start(day: date, offset: int = 0) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=offset)
