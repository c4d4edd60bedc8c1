"""Workflows over REST, with a real worker: what the caller sees of one that ends well, and of one that does not."""

from typing import Any

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order
from app.models.users import User
from tests.fixtures.worker import run_task

pytestmark = pytest.mark.usefixtures("worker")

MISSING = 999_999


@pytest.fixture
async def orders(session: AsyncSession) -> list[int]:
    """The ids of orders of 10.00, 20.00 and 30.00 EUR."""
    async with session.begin():
        ada = User(email="ada@example.org", name="Ada")
        session.add(ada)
        await session.flush()
        orders = [
            Order(reference=f"A-{euros}", user_id=ada.id, total_cents=100 * euros, currency="EUR")
            for euros in (10, 20, 30)
        ]
        session.add_all(orders)
    return [order.id for order in orders]


async def test_each_kind_ends_with_its_result(shop: httpx2.AsyncClient, orders: list[int]) -> None:
    for name, arguments, result, parts in (
        ("chain", {"order_id": orders[0], "discount": 10, "tax": 20}, 1080, 3),
        ("group", {"order_ids": orders}, [1000, 2000, 3000], 3),
        ("chord", {"order_ids": orders}, 6000, 4),
        ("map", {"order_ids": orders}, [1000, 2000, 3000], None),
        ("starmap", {"discounts": [[orders[0], 10], [orders[1], 20]]}, [900, 1600], None),
        ("chunks", {"order_ids": orders, "size": 2}, [[1000, 2000], [3000]], None),
        ("nested", {"order_ids": orders, "discount": 10, "tax": 20}, 6480, 11),
    ):
        task = await run_task(shop, f"workflows.{name}", arguments)
        assert (task["status"], task["result"]) == ("SUCCESS", result), (name, task)
        assert (task["progress"] and task["progress"]["current"]) == parts


async def test_one_alone_is_no_special_case(shop: httpx2.AsyncClient, orders: list[int]) -> None:
    for name, result in (("group", [1000]), ("chord", 1000), ("map", [1000]), ("chunks", [[1000]]), ("nested", 1200)):
        task = await run_task(shop, f"workflows.{name}", {"order_ids": orders[:1]})
        assert (task["status"], task["result"]) == ("SUCCESS", result), (name, task)


async def test_none_at_all_is_no_special_case(shop: httpx2.AsyncClient) -> None:
    empty: tuple[tuple[str, Any], ...] = (("group", []), ("chord", 0), ("map", []), ("chunks", []), ("nested", 0))
    for name, result in empty:
        task = await run_task(shop, f"workflows.{name}", {"order_ids": []})
        assert (task["status"], task["result"]) == ("SUCCESS", result), (name, task)


async def test_a_part_that_fails_is_seen_on_the_whole(shop: httpx2.AsyncClient, orders: list[int]) -> None:
    with_missing = [orders[0], MISSING, orders[1]]
    for name, arguments, error in (
        ("chain", {"order_id": MISSING}, "NotFoundError"),
        ("group", {"order_ids": with_missing}, "ChordError"),
        ("chord", {"order_ids": with_missing}, "ChordError"),
        ("map", {"order_ids": with_missing}, "NotFoundError"),
        ("starmap", {"discounts": [[orders[0], 10], [MISSING, 20]]}, "NotFoundError"),
        ("chunks", {"order_ids": with_missing, "size": 2}, "ChordError"),
        ("nested", {"order_ids": with_missing}, "ChordError"),
    ):
        task = await run_task(shop, f"workflows.{name}", arguments)
        assert (task["status"], task["error"]["type"]) == ("FAILURE", error), (name, task)
        assert f"There is no order {MISSING}." in task["error"]["message"]


async def test_a_first_part_that_fails_keeps_the_later_ones_from_starting(
    shop: httpx2.AsyncClient, session: AsyncSession, orders: list[int]
) -> None:
    async with session.begin():
        in_euros = await session.get_one(Order, orders[0])
        in_dollars = Order(reference="B-1", user_id=in_euros.user_id, total_cents=1, currency="USD")
        session.add(in_dollars)
    task = await run_task(shop, "workflows.nested", {"order_ids": [*orders, in_dollars.id]})
    assert (task["status"], task["error"]["type"]) == ("FAILURE", "ValueError")
    assert task["error"]["message"] == "The orders are in EUR, USD, which cannot be added up."
    assert task["progress"]["current"] == 0
