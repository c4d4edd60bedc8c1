"""Payments of orders."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.core.celery import celery_app, with_db_init
from app.core.http_calls import CalleeAwayError
from app.core.task_base import BaseTask
from app.services import payments

MAX_RETRIES = 6
"""About a minute, unless the provider asks for longer pauses."""


class Paid(TypedDict):
    payment_id: str
    status: str


@celery_app.task(name="payments.pay", bind=True, exposed=True)
@with_db_init
async def pay(
    self: BaseTask[..., Any],
    *,
    order_id: Annotated[int, Field(ge=1, lt=2**31, examples=[1])],
    session: AsyncSession,
) -> Paid:
    """Have the provider take the money for an order, once, whoever asks and however often."""
    # committed before the provider is called: whatever comes, it is asked with the same key again
    async with session.begin():
        payment = await payments.begin(session, order_id)
    if payment.status == "paid":
        return {"payment_id": payment.id, "status": "paid"}
    # the other task takes this one's id: who follows it learns how the payment ends
    raise self.replace(charge.si(payment_id=payment.id).on_error(note_failure.s(payment_id=payment.id)))


@celery_app.task(name="payments.charge", bind=True, max_retries=MAX_RETRIES)
@with_db_init
async def charge(self: BaseTask[..., Any], *, payment_id: str, session: AsyncSession) -> Paid:
    """Ask the provider until it is known how the payment ends, or MAX_RETRIES are used up."""
    async with session.begin():
        payment, order = await payments.find(session, payment_id)
    if payment.status != "paid":
        try:
            provider_id = await payments.charge(payment, order)
        except CalleeAwayError as error:
            raise self.retry(exc=error, countdown=error.pause(self.request.retries)) from error
        except payments.DeclinedError as error:
            async with session.begin():
                await payments.note_unpaid(session, payment_id, "declined", str(error))
            raise
        # a worker that is lost here has another one ask again: the same key, the same answer
        async with session.begin():
            await payments.note_paid(session, payment_id, provider_id)
    return {"payment_id": payment_id, "status": "paid"}


@celery_app.task(name="payments.note_failure")
@with_db_init
async def note_failure(task_id: str, *, payment_id: str, session: AsyncSession) -> None:
    """The task has failed, whatever the reason: the retries are used up, it ran for too long, it kills its workers.

    An error callback that takes only the id of the task is queued like any other; one that took the error as well would
    be called in the failing worker, once, also where the database is away just then.
    """
    async with session.begin():
        await payments.note_unpaid(session, payment_id, "failed", f"see task {task_id}")
