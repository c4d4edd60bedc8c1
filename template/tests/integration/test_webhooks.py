"""Webhooks, in and out, with a real worker."""

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from tests.fixtures.payments import MakeOrder
from tests.fixtures.webhooks import Receiver, order_paid, webhook
from tests.fixtures.worker import run_task, until

pytestmark = pytest.mark.usefixtures("worker")


async def test_an_order_becomes_paid_by_an_event_that_comes_in(
    client: httpx2.AsyncClient, session: AsyncSession, make_order: MakeOrder
) -> None:
    order = await make_order(1000)

    async def is_paid() -> bool:
        async with session.begin():
            await session.refresh(order)
        return order.status == "paid"

    assert (await client.post("/api/v1/webhooks", **webhook(order_paid(order.reference)))).status_code == 202
    await until(is_paid)


async def test_an_event_is_sent_until_it_is_taken(shop: httpx2.AsyncClient, webhook_receiver: Receiver) -> None:
    webhook_receiver.answers = [503, 0, 429]
    task = await run_task(shop, "webhooks.send", {"type": "order.paid", "data": {"reference": "2026-1000"}})
    assert (task["status"], task["retries"]) == ("SUCCESS", 3), task
    assert {received.message_id for received in webhook_receiver.received} == {task["result"]}


async def test_an_event_that_its_receiver_does_not_want_is_a_failure(
    shop: httpx2.AsyncClient, webhook_receiver: Receiver
) -> None:
    webhook_receiver.answers = [410]
    task = await run_task(shop, "webhooks.send", {"type": "order.paid", "data": {}})
    assert (task["status"], task["error"]["message"]) == ("FAILURE", "127.0.0.1 answered 410 Gone")
