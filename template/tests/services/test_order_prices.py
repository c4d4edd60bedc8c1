"""What an order comes to, step by step."""

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order
from app.models.users import User
from app.services import order_prices
from app.services.errors import NotFoundError


async def add(session: AsyncSession, *currencies: str) -> list[int]:
    async with session.begin():
        ada = User(email="ada@example.org", name="Ada")
        session.add(ada)
        await session.flush()
        orders = [
            Order(reference=f"A-{number}", user_id=ada.id, total_cents=1000, currency=currency)
            for number, currency in enumerate(currencies)
        ]
        session.add_all(orders)
    return [order.id for order in orders]


async def test_an_order_has_its_price(session: AsyncSession) -> None:
    (order_id,) = await add(session, "EUR")
    assert await order_prices.net(session, order_id) == 1000


async def test_an_order_that_is_not_there_has_none(session: AsyncSession) -> None:
    with pytest.raises(NotFoundError, match=r"There is no order 7\."):
        await order_prices.net(session, 7)


async def test_orders_in_one_currency_can_be_added_up(session: AsyncSession) -> None:
    assert await order_prices.currency(session, await add(session, "EUR", "EUR")) == "EUR"


async def test_orders_in_several_cannot(session: AsyncSession) -> None:
    with pytest.raises(ValueError, match="EUR, USD"):
        await order_prices.currency(session, await add(session, "USD", "EUR", "EUR"))


async def test_no_orders_have_no_currency(session: AsyncSession) -> None:
    assert await order_prices.currency(session, []) is None


@pytest.mark.parametrize(
    ("cents", "percent", "left"), [(1000, 10, 900), (99, 50, 49), (0, 50, 0), (7, 0, 7), (7, 100, 0)]
)
def test_a_discount_is_rounded_in_favour_of_who_pays(cents: int, percent: int, left: int) -> None:
    assert order_prices.discounted(cents, percent) == left


@pytest.mark.parametrize(("cents", "percent", "taxed"), [(1000, 20, 1200), (1, 50, 2), (1, 49, 1), (7, 0, 7)])
def test_half_a_cent_of_tax_is_rounded_up(cents: int, percent: int, taxed: int) -> None:
    assert order_prices.taxed(cents, percent) == taxed
