"""Background work on users."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_arguments import ArgumentsError
from app.models.user_statistics import UserStatistics
from app.models.users import User
from app.tasks import users


async def test_update_stats_writes_the_figures_of_a_day_down(session: AsyncSession) -> None:
    moment = datetime(2026, 5, 4, 12, tzinfo=UTC)
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada", created_at=moment, last_activity=moment))
    assert users.update_stats(day="2026-05-04") == {"day": "2026-05-04", "users": 1, "active": 1}
    (kept,) = (await session.scalars(select(UserStatistics))).all()
    assert (kept.day, kept.users, kept.active) == (date(2026, 5, 4), 1, 1)


def test_update_stats_takes_today_by_default() -> None:
    before = datetime.now(UTC).date()
    assert before.isoformat() <= users.update_stats()["day"] <= datetime.now(UTC).date().isoformat()


async def test_cleanup_goes_on_until_no_unused_user_is_left(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "CLEANUP_BATCH", 2)
    old = datetime.now(UTC) - timedelta(days=10)
    async with session.begin():
        session.add_all(User(email=f"old{n}@example.org", name="Ada", created_at=old) for n in range(5))
        session.add(User(email="new@example.org", name="Ada"))
    assert users.cleanup(unused_for_days=9) == 5
    assert await session.scalar(select(func.count()).select_from(User)) == 1
    assert users.cleanup(unused_for_days=9) == 0


@pytest.mark.parametrize("days", [0, "many", None])
def test_cleanup_refuses_a_number_of_days_that_is_none(days: object) -> None:
    with pytest.raises(ArgumentsError, match="unused_for_days"):
        users.cleanup(unused_for_days=days)
