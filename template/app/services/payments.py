"""Payments of orders: one for each order, charged once at the provider, however often it is asked."""

import json
import uuid
from typing import Literal

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.payments import get_payments_settings
from app.core.http_calls import CalleeAwayError, CalleeRefusedError, post
from app.models.orders import Order
from app.models.payments import Payment
from app.services.errors import NotFoundError

DECLINED = 402


class DeclinedError(Exception):
    """The provider does not take this payment; it would say so again."""


async def begin(session: AsyncSession, order_id: int) -> Payment:
    """The payment of the order, the same one for all who ask; it may have been paid already."""
    order = await session.get(Order, order_id)
    if order is None:
        raise NotFoundError(f"There is no order {order_id}.")
    try:
        async with session.begin_nested():
            status = "paid" if order.status == "paid" else "pending"
            session.add(Payment(id=str(uuid.uuid4()), order_id=order_id, status=status))
    except IntegrityError:  # it is there; one that has failed is tried again
        failed = (Payment.order_id == order_id) & (Payment.status == "failed")
        await session.execute(update(Payment).where(failed).values(status="pending", error=None))
    return (await session.scalars(select(Payment).where(Payment.order_id == order_id))).one()


async def find(session: AsyncSession, payment_id: str) -> tuple[Payment, Order]:
    found = await session.execute(select(Payment, Order).join_from(Payment, Order).where(Payment.id == payment_id))
    row = found.one_or_none()
    if row is None:
        raise NotFoundError(f"There is no payment {payment_id}.")
    return row


async def charge(payment: Payment, order: Order) -> str:
    """Have the provider take the money, once; returns its id for that.

    DeclinedError where it will not, CalleeRefusedError where it does not understand us, CalleeAwayError where it is not
    known: the money may have been taken. Asked again, the provider tells, for it knows the payment by its id.
    """
    settings = get_payments_settings()
    wanted = {"amount": order.total_cents, "currency": order.currency, "reference": order.reference}
    headers = {"Authorization": f"Bearer {settings.key}", "Idempotency-Key": payment.id}
    try:
        answer = await post(
            f"{settings.url}/charges", body=json.dumps(wanted).encode(), headers=headers, patience=settings.timeout
        )
    except CalleeRefusedError as error:
        if error.status == DECLINED:
            raise DeclinedError(f"The payment of order {order.reference} was declined.") from None
        raise
    try:
        return str(answer.json()["id"])
    except (ValueError, LookupError, TypeError):  # from something in between, such as a proxy
        raise CalleeAwayError("the answer is not one of the provider") from None


async def note_paid(session: AsyncSession, payment_id: str, provider_id: str) -> None:
    await session.execute(update(Order).where(_is_of(payment_id)).values(status="paid"))
    paid = {"status": "paid", "provider_id": provider_id, "error": None}
    noted = await session.scalars(update(Payment).where(Payment.id == payment_id).values(paid).returning(Payment.id))
    if not noted.all():
        raise NotFoundError(f"Payment {payment_id} has gone; the provider has taken it as {provider_id}.")


async def note_unpaid(
    session: AsyncSession, payment_id: str, status: Literal["declined", "failed"], error: str
) -> None:
    """What was paid meanwhile stays so."""
    # each a single statement, the order first: neither is anything overwritten, nor do two wait for each other
    await session.execute(update(Order).where(_is_of(payment_id), Order.status == "open").values(status="unpaid"))
    unfinished = (Payment.id == payment_id) & Payment.status.in_(("pending", "failed"))
    await session.execute(update(Payment).where(unfinished).values(status=status, error=error))


def _is_of(payment_id: str) -> ColumnElement[bool]:
    return Order.id == select(Payment.order_id).where(Payment.id == payment_id).scalar_subquery()
