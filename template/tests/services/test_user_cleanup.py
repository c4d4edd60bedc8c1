"""Which users are taken away."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.users import User
from app.services import user_cleanup

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
BEFORE, AFTER = NOON - timedelta(days=1), NOON + timedelta(days=1)


async def test_only_old_users_who_were_never_active_are_removed(session: AsyncSession) -> None:
    async with session.begin():
        session.add_all(
            [
                User(email="old-unused@example.org", name="Ada", created_at=BEFORE),
                User(email="old-active@example.org", name="Ada", created_at=BEFORE, last_activity=BEFORE),
                User(email="new-unused@example.org", name="Ada", created_at=AFTER),
            ]
        )
    async with session.begin():
        assert await user_cleanup.remove_unused(session, created_before=NOON, limit=10) == 1
    left = await session.scalars(select(User.email).order_by(User.id))
    assert left.all() == ["old-active@example.org", "new-unused@example.org"]


async def test_no_more_than_the_limit_are_removed(session: AsyncSession) -> None:
    async with session.begin():
        session.add_all(User(email=f"user{n}@example.org", name="Ada", created_at=BEFORE) for n in range(5))
    removed = []
    for _ in range(4):
        async with session.begin():
            removed.append(await user_cleanup.remove_unused(session, created_before=NOON, limit=2))
    assert removed == [2, 2, 1, 0]
