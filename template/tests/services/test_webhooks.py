"""What follows from the events of others, in whatever order and however often they come."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import open_session
from app.models.payments import Payment
from app.models.webhook_events import WebhookEvent
from app.services import payments, webhooks
from app.services.errors import NotFoundError
from tests.fixtures.payments import MakeOrder


async def receive(event_id: str, event_type: str = "order.paid", **data: Any) -> bool:
    async with open_session() as session, session.begin():
        return await webhooks.receive(session, event_id, event_type, data)


async def handle(event_id: str) -> bool:
    async with open_session() as session, session.begin():
        return await webhooks.handle(session, event_id)


async def test_an_event_is_received_once(session: AsyncSession) -> None:
    assert await receive("msg_1", reference="2026-1")
    assert not await receive("msg_1", reference="2026-2")
    assert (await session.get_one(WebhookEvent, "msg_1")).data == {"reference": "2026-1"}


async def test_an_order_and_its_payment_become_paid_once(make_order: MakeOrder, session: AsyncSession) -> None:
    order = await make_order(1000)
    async with session.begin():
        payment = await payments.begin(session, order.id)
        await payments.note_unpaid(session, payment.id, "failed", "gave up")
    for event_id in ("msg_1", "msg_2"):
        await receive(event_id, reference=order.reference)
        assert await handle(event_id)
        assert not await handle(event_id)
    async with session.begin():
        await session.refresh(order)
        payment = await session.get_one(Payment, payment.id, populate_existing=True)
    assert (order.status, payment.status, payment.error) == ("paid", "paid", None)


async def test_an_event_is_handled_once_though_two_do_so_at_the_same_time(make_order: MakeOrder) -> None:
    await receive("msg_1", reference=(await make_order(1000)).reference)
    assert sorted(await asyncio.gather(*(handle("msg_1") for _ in range(5)))) == [False] * 4 + [True]


async def test_an_event_that_comes_before_its_order_is_handled_when_that_is_there(
    make_order: MakeOrder, session: AsyncSession
) -> None:
    await receive("msg_1", reference="2026-1000")
    with pytest.raises(NotFoundError, match=r"order\.paid"):
        await handle("msg_1")
    assert (await session.get_one(WebhookEvent, "msg_1")).handled_at is None
    await session.rollback()
    order = await make_order(1000)
    assert await handle("msg_1")
    await session.refresh(order)
    assert order.status == "paid"


@pytest.mark.parametrize("data", [{}, {"reference": None}, {"reference": 7}, {"reference": ["2026-1"]}])
async def test_an_event_that_names_no_order_changes_nothing(session: AsyncSession, data: dict[str, Any]) -> None:
    await receive("msg_1", **data)
    with pytest.raises(NotFoundError):
        await handle("msg_1")


async def test_an_event_of_a_type_that_is_not_known_is_noted_and_ignored(
    session: AsyncSession, log: Callable[[], list[dict[str, Any]]]
) -> None:
    await receive("msg_1", "order.eaten")
    assert not await handle("msg_1")
    assert (await session.get_one(WebhookEvent, "msg_1")).handled_at
    assert [entry["type"] for entry in log() if entry["event"] == "ignored a webhook"] == ["order.eaten"]


async def test_an_event_that_has_gone_does_nothing(session: AsyncSession) -> None:
    assert not await handle("gone")
