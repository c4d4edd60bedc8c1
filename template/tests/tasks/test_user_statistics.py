"""The figures of a day, by both forms of `with_db_init`."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.user_statistics import UserStatistics
from app.models.users import User
from app.services import user_statistics
from app.tasks.user_statistics import update_stats_plain
from app.tasks.users import update_stats

FORMS = pytest.mark.parametrize("task", [update_stats, update_stats_plain])
MOMENT = datetime(2026, 5, 4, 12, tzinfo=UTC)


async def kept(session: AsyncSession) -> list[tuple[date, int, int]]:
    async with session.begin():
        rows = (await session.scalars(select(UserStatistics))).all()
        found = [(row.day, row.users, row.active) for row in rows]
    session.expunge_all()
    return found


@FORMS
async def test_both_write_the_same(session: AsyncSession, task: BaseTask[..., Any]) -> None:
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada", created_at=MOMENT, last_activity=MOMENT))
        session.add(User(email="bob@example.org", name="Bob", created_at=MOMENT))
    for _ in range(2):  # also when it runs a second time
        assert task(day="2026-05-04") == {"day": "2026-05-04", "users": 2, "active": 1}
        assert await kept(session) == [(date(2026, 5, 4), 2, 1)]


@FORMS
async def test_a_crash_in_the_middle_leaves_nothing(
    session: AsyncSession, task: BaseTask[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    update = user_statistics.update

    async def crash(*arguments: Any) -> None:
        await update(*arguments)
        raise RuntimeError("crashed before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(user_statistics, "update", crash)
        with pytest.raises(RuntimeError):
            task(day="2026-05-04")
    assert await kept(session) == []
    assert task(day="2026-05-04") == {"day": "2026-05-04", "users": 0, "active": 0}


@FORMS
@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "9999-12-31"])
def test_both_refuse_what_is_no_day(task: BaseTask[..., Any], day: str) -> None:
    with pytest.raises(ArgumentsError, match="day"):
        task(day=day)


@FORMS
def test_both_take_today_by_default(task: BaseTask[..., Any]) -> None:
    before = datetime.now(UTC).date()
    assert before.isoformat() <= task()["day"] <= datetime.now(UTC).date().isoformat()
