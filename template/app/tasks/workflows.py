"""Small tasks put together in every way that Celery has, here to find out what orders come to."""

from typing import Annotated, Any

from celery import chain, chord, group
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.task_base import BaseTask
from app.core.workflow_progress import begin_workflow, finish_part
from app.services import order_prices

OrderId = Annotated[int, Field(ge=1, lt=2**31)]
OrderIds = Annotated[list[OrderId], Field(max_length=1000, examples=[[1, 2]])]
Percent = Annotated[int, Field(ge=0, le=100)]
Cents = Annotated[int, Field(ge=0)]


@celery_app.task(name="workflows.same_currency", bind=True)
@with_db_init
async def same_currency(self: BaseTask[..., Any], *, order_ids: OrderIds, session: AsyncSession) -> str | None:
    """The currency of these orders, of which they may have one only."""
    found = await order_prices.currency(session, order_ids)
    finish_part(self, "their currency was looked at")
    return found


@celery_app.task(name="workflows.net", bind=True)
@with_db_init
async def net(self: BaseTask[..., Any], order_id: OrderId, discount: Percent = 0, *, session: AsyncSession) -> int:
    """What an order comes to, less a discount in percent."""
    cents = await order_prices.net(session, order_id)
    finish_part(self, f"order {order_id}")
    return order_prices.discounted(cents, discount)


@celery_app.task(name="workflows.discounted", bind=True)
def discounted(self: BaseTask[..., Any], cents: Cents, percent: Percent) -> int:
    """A price less a discount."""
    finish_part(self, "discount")
    return order_prices.discounted(cents, percent)


@celery_app.task(name="workflows.taxed", bind=True)
def taxed(self: BaseTask[..., Any], cents: Cents, percent: Percent) -> int:
    """A price with tax."""
    finish_part(self, "tax")
    return order_prices.taxed(cents, percent)


@celery_app.task(name="workflows.total", bind=True)
def total(self: BaseTask[..., Any], amounts: list[Cents]) -> int:
    """The sum of several prices."""
    finish_part(self, "total")
    return sum(amounts)


@celery_app.task(name="workflows.chain", bind=True, exposed=True)
def as_chain(self: BaseTask[..., Any], *, order_id: OrderId, discount: Percent = 0, tax: Percent = 20) -> int:
    """One after the other: what an order comes to, less a discount, with tax."""
    begin_workflow(self, 3)
    raise self.replace(chain(net.s(order_id), discounted.s(percent=discount), taxed.s(percent=tax)))


@celery_app.task(name="workflows.group", bind=True, exposed=True)
def as_group(self: BaseTask[..., Any], *, order_ids: OrderIds) -> list[int]:
    """Side by side: what each of these orders comes to."""
    begin_workflow(self, len(order_ids))
    raise self.replace(group(net.s(order_id) for order_id in order_ids))


@celery_app.task(name="workflows.chord", bind=True, exposed=True)
def as_chord(self: BaseTask[..., Any], *, order_ids: OrderIds) -> int:
    """Side by side, and a last task with the results of all: what these orders come to together."""
    begin_workflow(self, len(order_ids) + 1)
    raise self.replace(chord([net.s(order_id) for order_id in order_ids], total.s()))


@celery_app.task(name="workflows.map", bind=True, exposed=True)
def as_map(self: BaseTask[..., Any], *, order_ids: OrderIds) -> list[int]:
    """One message for many: what each of these orders comes to, found out by one worker, one after the other."""
    raise self.replace(net.map(order_ids))


@celery_app.task(name="workflows.starmap", bind=True, exposed=True)
def as_starmap(
    self: BaseTask[..., Any],
    *,
    discounts: Annotated[list[tuple[OrderId, Percent]], Field(max_length=1000, examples=[[[1, 10], [2, 20]]])],
) -> list[int]:
    """The same with several arguments each: what each of these orders comes to, less its own discount."""
    raise self.replace(net.starmap(discounts))


@celery_app.task(name="workflows.chunks", bind=True, exposed=True)
def as_chunks(
    self: BaseTask[..., Any], *, order_ids: OrderIds, size: Annotated[int, Field(ge=1)] = 100
) -> list[list[int]]:
    """A message for every so many, side by side: what each of these orders comes to, chunk by chunk."""
    raise self.replace(net.chunks(zip(order_ids, strict=True), size).group())


@celery_app.task(name="workflows.nested", bind=True, exposed=True)
def nested(self: BaseTask[..., Any], *, order_ids: OrderIds, discount: Percent = 0, tax: Percent = 20) -> int:
    """Chains in a chord in a chain: what these orders come to together, each less a discount, with tax."""
    begin_workflow(self, 3 * len(order_ids) + 2)
    price = discounted.s(percent=discount) | taxed.s(percent=tax)  # what comes before gives the rest
    # immutable, or each would be given the currency as well
    prices = chord([net.si(order_id) | price for order_id in order_ids], total.s())
    raise self.replace(chain(same_currency.s(order_ids=order_ids), prices))
