"""Reports that take a while."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.users import User
from app.tasks import reports


async def test_activity_counts_each_of_the_past_days(session: AsyncSession) -> None:
    now = datetime.now(UTC)
    async with session.begin():
        session.add_all(
            User(email=f"user{number}@example.org", name="Ada", last_activity=now - timedelta(days=age))
            for number, age in enumerate([1, 1, 5])
        )
    counts = reports.activity(days=3)
    assert len(counts) == 3
    assert counts[(now.date() - timedelta(days=1)).isoformat()] == 2
    assert sum(counts.values()) == 2


def test_activity_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        BaseTask, "report_progress", lambda _self, current, total, _message: told.append((current, total))
    )
    reports.activity(days=3)
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("days", [0, 367, "many"])
def test_activity_refuses_a_number_of_days_that_is_none(days: object) -> None:
    with pytest.raises(ArgumentsError, match="days"):
        reports.activity(days=days)
