"""Takes away users that nobody uses."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.users import User


async def remove_unused(session: AsyncSession, *, created_before: datetime, limit: int) -> int:
    """Remove up to `limit` users who have never been active; returns how many."""
    unused = select(User.id).where(User.last_activity.is_(None), User.created_at < created_before).limit(limit)
    removed = await session.scalars(delete(User).where(User.id.in_(unused)).returning(User.id))
    return len(removed.all())
