"""Logins, and links that were sent by e-mail: taken away when they are over."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.email_tokens import EmailToken
from app.models.user_sessions import UserSession


async def remove_expired(
    session: AsyncSession, table: type[UserSession] | type[EmailToken], *, at: datetime, limit: int
) -> int:
    """Remove up to `limit` that have expired by then; returns how many."""
    expired = select(table.token_hash).where(table.expires_at <= at).limit(limit)
    removed = await session.scalars(delete(table).where(table.token_hash.in_(expired)).returning(table.token_hash))
    return len(removed.all())
