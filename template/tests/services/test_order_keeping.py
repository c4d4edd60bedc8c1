"""Orders from when they are held to when they are given up."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order
from app.models.users import User
from app.services import order_keeping
from app.services.errors import ConflictError, NotFoundError

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
async def user_id(session: AsyncSession) -> int:
    async with session.begin():
        session.add(user := User(email="ada@example.org", name="Ada"))
    return user.id


async def add(session: AsyncSession, user_id: int, reference: str, status: str = "open", days_ago: int = 0) -> None:
    order = Order(reference=reference, user_id=user_id, total_cents=100, currency="EUR", status=status)
    order.ordered_at = NOW - timedelta(days=days_ago)
    async with session.begin():
        session.add(order)


async def statuses(session: AsyncSession) -> dict[str, str]:
    async with session.begin():
        return {order.reference: order.status for order in await session.scalars(select(Order))}


async def hold(session: AsyncSession, user_id: int, total_cents: int = 100) -> bool:
    async with session.begin():
        return await order_keeping.hold(
            session, reference="A-1", user_id=user_id, total_cents=total_cents, currency="EUR"
        )


async def test_an_order_is_held_once(session: AsyncSession, user_id: int) -> None:
    assert await hold(session, user_id)
    assert not await hold(session, user_id)
    assert await statuses(session) == {"A-1": "open"}


async def test_nobody_holds_what_is_another_order(session: AsyncSession, user_id: int) -> None:
    await hold(session, user_id)
    with pytest.raises(ConflictError, match="A-1"):
        await hold(session, user_id, total_cents=101)


async def test_an_order_needs_a_user(session: AsyncSession) -> None:
    with pytest.raises(NotFoundError, match="no user 7"):
        await hold(session, 7)


@pytest.mark.parametrize(("status", "given_up"), [("open", True), ("paid", False), ("unpaid", False)])
async def test_only_an_open_order_is_given_up(
    session: AsyncSession, user_id: int, status: str, *, given_up: bool
) -> None:
    await add(session, user_id, "A-1", status)
    async with session.begin():
        assert await order_keeping.give_up(session, "A-1") is given_up
        assert not await order_keeping.give_up(session, "A-1")
        assert not await order_keeping.give_up(session, "B-1")
    assert await statuses(session) == {"A-1": "unpaid" if given_up else status}


async def test_open_orders_are_given_up_by_age_and_a_batch_at_a_time(session: AsyncSession, user_id: int) -> None:
    for number in range(3):
        await add(session, user_id, f"old-{number}", days_ago=15)
    await add(session, user_id, "old-paid", "paid", days_ago=15)
    await add(session, user_id, "new", days_ago=13)
    given_up = []
    for _ in range(3):
        async with session.begin():
            given_up.append(
                await order_keeping.give_up_overdue(session, ordered_before=NOW - timedelta(days=14), limit=2)
            )
    assert given_up == [2, 1, 0]
    found = await statuses(session)
    assert (found.pop("old-paid"), found.pop("new"), set(found.values())) == ("paid", "open", {"unpaid"})


async def test_orders_are_counted_by_status_and_summed_by_user(session: AsyncSession, user_id: int) -> None:
    assert await order_keeping.count(session) == 0
    assert await order_keeping.spent_by(session, user_id) == {}
    await session.rollback()
    for number, status in enumerate(["open", "paid", "paid"]):
        await add(session, user_id, f"A-{number}", status)
    assert await order_keeping.count(session) == 3
    assert await order_keeping.count(session, "paid") == 2
    assert await order_keeping.spent_by(session, user_id) == {"EUR": 200}
    assert await order_keeping.spent_by(session, user_id + 1) == {}


async def test_all_orders_come_in_batches_and_none_twice(session: AsyncSession, user_id: int) -> None:
    for number in range(5):
        await add(session, user_id, f"A-{number}")
    batches = [[row.reference for row in batch] async for batch in order_keeping.batches(session, 2)]
    assert batches == [["A-0", "A-1"], ["A-2", "A-3"], ["A-4"]]


async def test_what_is_ordered_meanwhile_comes_too(session: AsyncSession, user_id: int) -> None:
    await add(session, user_id, "A-0")
    seen = []
    async for batch in order_keeping.batches(session, 1):
        seen += [row.reference for row in batch]
        if len(seen) == 1:
            await add(session, user_id, "A-1")
    assert seen == ["A-0", "A-1"]
