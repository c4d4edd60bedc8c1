"""Orders from when they are held to when they are given up, and what is told of them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order, OrderStatus
from app.models.users import User
from app.services.errors import ConflictError, NotFoundError

COLUMNS = (Order.id, Order.reference, Order.user_id, Order.total_cents, Order.currency, Order.status, Order.ordered_at)
"""What others are told of an order."""


async def hold(session: AsyncSession, *, reference: str, user_id: int, total_cents: int, currency: str) -> bool:
    """Write an open order down; False if it was already. ConflictError where the reference is another order's."""
    if await session.get(User, user_id) is None:
        raise NotFoundError(f"There is no user {user_id}.")
    order = Order(reference=reference, user_id=user_id, total_cents=total_cents, currency=currency)
    try:
        async with session.begin_nested():
            session.add(order)
    except IntegrityError:
        known = await session.scalar(select(Order).where(Order.reference == reference))
        if known is None:  # the user has gone meanwhile
            raise NotFoundError(f"There is no user {user_id}.") from None
        if (known.user_id, known.total_cents, known.currency) != (user_id, total_cents, currency):
            raise ConflictError(f"Another order has the reference {reference}.") from None
        return False
    return True


async def give_up(session: AsyncSession, reference: str) -> bool:
    """An order that is still open will not be paid any more; whether it was open."""
    still_open = update(Order).where(Order.reference == reference, Order.status == "open")
    return bool(await session.scalar(still_open.values(status="unpaid").returning(Order.id)))


async def give_up_overdue(session: AsyncSession, *, ordered_before: datetime, limit: int) -> int:
    """The same for up to `limit` open orders that are older; returns how many."""
    overdue = select(Order.id).where(Order.status == "open", Order.ordered_at < ordered_before).limit(limit)
    given_up = update(Order).where(Order.id.in_(overdue), Order.status == "open").values(status="unpaid")
    return len((await session.scalars(given_up.returning(Order.id))).all())


async def count(session: AsyncSession, status: OrderStatus | None = None) -> int:
    orders = select(func.count()).select_from(Order)
    return await session.scalar(orders.where(Order.status == status) if status else orders) or 0


async def spent_by(session: AsyncSession, user_id: int) -> dict[str, int]:
    """What the user has paid in all, in cents, by currency."""
    paid = select(Order.currency, func.sum(Order.total_cents)).where(Order.user_id == user_id, Order.status == "paid")
    return {currency: int(cents) for currency, cents in await session.execute(paid.group_by(Order.currency))}


async def batches(session: AsyncSession, size: int) -> AsyncIterator[Sequence[Row[*tuple[Any, ...]]]]:
    """All orders, the oldest first, a transaction for each batch: none stays open while its rows are dealt with."""
    last = 0
    while True:
        async with session.begin():
            after = select(*COLUMNS).where(Order.id > last).order_by(Order.id).limit(size)
            batch = (await session.execute(after)).all()
        if not batch:
            return
        yield batch
        last = batch[-1].id
