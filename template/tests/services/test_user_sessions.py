"""Which logins and links are taken away."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.email_tokens import EmailToken
from app.models.user_sessions import UserSession
from app.models.users import User
from app.services import user_sessions

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def user(session: AsyncSession) -> int:
    async with session.begin():
        user = User(email="ada@example.org", name="Ada")
        session.add(user)
    return user.id


async def test_only_what_has_expired_is_removed(session: AsyncSession, user: int) -> None:
    ends = {"before": NOON - SECOND, "now": NOON, "later": NOON + SECOND}
    async with session.begin():
        for name, end in ends.items():
            session.add(UserSession(user_id=user, token_hash=name, expires_at=end))
            session.add(EmailToken(user_id=user, token_hash=name, expires_at=end, purpose="verification"))
    for table in (UserSession, EmailToken):
        async with session.begin():
            assert await user_sessions.remove_expired(session, table, at=NOON, limit=10) == 2
            assert (await session.scalars(select(table.token_hash))).all() == ["later"]


async def test_no_more_than_the_limit_are_removed(session: AsyncSession, user: int) -> None:
    async with session.begin():
        session.add_all(UserSession(user_id=user, token_hash=str(n), expires_at=NOON) for n in range(5))
    removed = []
    for _ in range(4):
        async with session.begin():
            removed.append(await user_sessions.remove_expired(session, UserSession, at=NOON, limit=2))
    assert removed == [2, 2, 1, 0]
