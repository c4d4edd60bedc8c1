"""Payments from request to the final state, with a real worker and a provider that answers over HTTP."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.orders import Order
from app.models.payments import Payment
from app.tasks.payments import MAX_RETRIES
from scripts.payment_provider import Provider
from tests.fixtures.payments import MakeOrder
from tests.fixtures.worker import TASKS, outcome, run_task, until

pytestmark = pytest.mark.usefixtures("worker", "payment_provider")


async def stored(session: AsyncSession, order: Order) -> tuple[str, str]:
    """The state of its payment, and its own."""
    async with session.begin():
        await session.refresh(order)
        payment = await session.scalars(select(Payment).where(Payment.order_id == order.id))
        return payment.one().status, order.status


def becomes(session: AsyncSession, order: Order, *states: str) -> Callable[[], Any]:
    """The error callback is queued after the caller was told."""

    async def has_become() -> bool:
        session.expire_all()
        return await stored(session, order) == states

    return has_become


async def test_an_order_is_paid_though_the_first_answer_is_lost(
    shop: httpx2.AsyncClient, session: AsyncSession, make_order: MakeOrder, payment_provider: Provider
) -> None:
    order = await make_order(1504)
    task = await run_task(shop, "payments.pay", {"order_id": order.id})
    assert (task["status"], task["name"], task["retries"]) == ("SUCCESS", "payments.pay", 1), task
    assert task["result"]["status"] == "paid"
    assert await stored(session, order) == ("paid", "paid")
    assert len(payment_provider.asked) == 2
    assert len(payment_provider.charges) == 1


async def test_two_who_pay_at_the_same_time_are_charged_once(
    shop: httpx2.AsyncClient, make_order: MakeOrder, payment_provider: Provider
) -> None:
    arguments = {"order_id": (await make_order(1000)).id}
    queued = [await shop.post(f"{TASKS}/payments.pay", json=arguments) for _ in range(2)]
    ended = [await outcome(shop, one.headers["Location"]) for one in queued]
    assert [task["status"] for task in ended] == ["SUCCESS", "SUCCESS"]
    assert ended[0]["result"] == ended[1]["result"]
    assert len(payment_provider.charges) == 1


@pytest.mark.parametrize(
    ("total_cents", "failure"),
    [
        (1402, ("declined", "DeclinedError", 0)),
        (1422, ("failed", "CalleeRefusedError", 0)),
        (1503, ("failed", "CalleeAwayError", MAX_RETRIES)),
    ],
)
async def test_a_payment_that_comes_to_nothing_ends_as_a_failure_and_in_the_database(
    shop: httpx2.AsyncClient,
    session: AsyncSession,
    make_order: MakeOrder,
    total_cents: int,
    failure: tuple[str, str, int],
) -> None:
    payment, error, retries = failure
    order = await make_order(total_cents)
    task = await run_task(shop, "payments.pay", {"order_id": order.id})
    assert (task["status"], task["error"]["type"], task["retries"]) == ("FAILURE", error, retries), task
    await until(becomes(session, order, payment, "unpaid"))


async def test_an_order_that_is_not_there_is_a_failure_that_says_so(shop: httpx2.AsyncClient) -> None:
    task = await run_task(shop, "payments.pay", {"order_id": 7})
    assert (task["status"], task["error"]["message"]) == ("FAILURE", "There is no order 7.")


def pool_process() -> int:
    """The one of the worker in which tasks run."""
    (worker,) = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    (process,) = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return int(process)


async def test_a_worker_that_is_killed_after_the_charge_leaves_it_to_another(
    shop: httpx2.AsyncClient, session: AsyncSession, make_order: MakeOrder, payment_provider: Provider
) -> None:
    order = await make_order(1504)
    await run_task(shop, "users.update_stats")
    process = pool_process()
    queued = await shop.post(f"{TASKS}/payments.pay", json={"order_id": order.id})

    async def charged() -> bool:
        await asyncio.sleep(0)
        return bool(payment_provider.charges)

    await until(charged)
    os.kill(process, signal.SIGKILL)
    task = await outcome(shop, queued.headers["Location"])
    assert (task["status"], task["retries"]) == ("SUCCESS", 0), task
    assert await stored(session, order) == ("paid", "paid")
    assert len(payment_provider.asked) == 2
    assert len(payment_provider.charges) == 1
