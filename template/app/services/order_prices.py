"""What an order comes to, step by step, in cents."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order
from app.services.errors import NotFoundError


async def net(session: AsyncSession, order_id: int) -> int:
    cents = await session.scalar(select(Order.total_cents).where(Order.id == order_id))
    if cents is None:
        raise NotFoundError(f"There is no order {order_id}.")
    return cents


async def currency(session: AsyncSession, order_ids: Sequence[int]) -> str | None:
    """That of all these orders, or None if there are none; ValueError if they have several, which have no sum."""
    found = await session.scalars(select(Order.currency).where(Order.id.in_(order_ids)).distinct())
    currencies = sorted(found)
    if len(currencies) > 1:
        raise ValueError(f"The orders are in {', '.join(currencies)}, which cannot be added up.")
    return currencies[0] if currencies else None


def discounted(cents: int, percent: int) -> int:
    """Rounded in favour of who pays."""
    return cents * (100 - percent) // 100


def taxed(cents: int, percent: int) -> int:
    """Half a cent is rounded up."""
    return (cents * (100 + percent) * 2 + 100) // 200
