"""Payments of orders."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Signature
from celery._state import _task_stack  # type: ignore[attr-defined]  # not in celery-types
from celery.exceptions import Ignore, Retry
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.http_calls import CalleeAwayError, CalleeRefusedError
from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.payments import Payment
from app.services.errors import NotFoundError
from app.services.payments import DeclinedError
from app.tasks import payments
from scripts.payment_provider import Provider
from tests.fixtures.payments import MakeOrder

Queued = list[Signature[Any]]


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Queued:
    """By what tasks replace themselves."""
    queued: Queued = []

    def replace(_task: BaseTask[..., Any], signature: Signature[Any]) -> Ignore:
        queued.append(signature)
        return Ignore()

    monkeypatch.setattr(BaseTask, "replace", replace)
    return queued


@pytest.fixture
def begin(replaced: Queued) -> Callable[[int], str]:
    """What `payments.pay` leaves to do: the id of the payment."""

    def begin(order_id: int) -> str:
        with pytest.raises(Ignore):
            payments.pay(order_id=order_id)
        payment_id: str = replaced[-1].kwargs["payment_id"]
        return payment_id

    return begin


@contextmanager
def in_worker(retries: int) -> Iterator[None]:
    """As in a worker, which is asked by a message and not by a call."""
    _task_stack.push(payments.charge)
    payments.charge.push_request(id="0198c7a4", called_directly=False, is_eager=True, retries=retries)
    try:
        yield
    finally:
        payments.charge.pop_request()
        _task_stack.pop()


async def test_pay_leaves_the_call_to_a_task_that_is_tried_again(
    make_order: MakeOrder, session: AsyncSession, replaced: Queued, begin: Callable[[int], str]
) -> None:
    order = await make_order(1000)
    payment = await session.get(Payment, begin(order.id))
    assert payment
    assert (payment.order_id, payment.status) == (order.id, "pending")
    (errback,) = replaced[0].options["link_error"]
    assert (replaced[0].task, errback["task"]) == ("payments.charge", "payments.note_failure")
    assert errback["kwargs"] == {"payment_id": payment.id}


async def test_an_order_is_charged_once(
    make_order: MakeOrder, session: AsyncSession, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    order = await make_order(1000)
    payment_id = begin(order.id)
    paid = {"payment_id": payment_id, "status": "paid"}
    assert payments.charge(payment_id=payment_id) == paid
    assert payments.charge(payment_id=payment_id) == paid
    assert payments.pay(order_id=order.id) == paid
    assert payment_provider.asked == [payment_id]
    await session.refresh(order)
    payment = await session.get_one(Payment, payment_id)
    assert (order.status, payment.provider_id) == ("paid", payment_provider.charges[payment_id]["id"])


async def test_a_payment_that_is_declined_is_noted_and_fails_at_once(
    make_order: MakeOrder, session: AsyncSession, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    order = await make_order(1402)
    payment_id = begin(order.id)
    with in_worker(retries=0), pytest.raises(DeclinedError, match="order 2026-1402 was declined"):
        payments.charge.run(payment_id=payment_id)
    payments.note_failure("0198c7a4", payment_id=payment_id)
    await session.refresh(order)
    assert order.status == "unpaid"
    assert (await session.get_one(Payment, payment_id)).status == "declined"


async def test_what_the_provider_does_not_understand_fails_at_once(
    make_order: MakeOrder, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    payment_id = begin((await make_order(1422)).id)
    with in_worker(retries=0), pytest.raises(CalleeRefusedError, match="422"):
        payments.charge.run(payment_id=payment_id)
    assert payment_provider.asked == [payment_id]


async def test_a_provider_that_is_broken_is_asked_again_after_growing_pauses(
    make_order: MakeOrder, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    payment_id = begin((await make_order(1500)).id)
    for retries in range(payments.MAX_RETRIES):
        with in_worker(retries), pytest.raises(Retry) as error:
            payments.charge.run(payment_id=payment_id)
        assert isinstance(error.value.when, int)
        assert 0 <= error.value.when <= 2**retries
    with in_worker(payments.MAX_RETRIES), pytest.raises(CalleeAwayError, match="500"):
        payments.charge.run(payment_id=payment_id)
    assert payment_provider.asked == [payment_id] * (payments.MAX_RETRIES + 1)


async def test_the_pause_is_the_one_that_the_provider_asks_for(
    make_order: MakeOrder, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    payment_id = begin((await make_order(1503)).id)
    with in_worker(retries=5), pytest.raises(Retry) as error:
        payments.charge.run(payment_id=payment_id)
    assert error.value.when == 0


async def test_the_state_of_what_was_given_up_is_in_the_database(
    make_order: MakeOrder, session: AsyncSession, begin: Callable[[int], str]
) -> None:
    order = await make_order(1000)
    payment_id = begin(order.id)
    payments.note_failure("0198c7a4", payment_id=payment_id)
    payments.note_failure("0198c7a4", payment_id=payment_id)
    await session.refresh(order)
    payment = await session.get_one(Payment, payment_id)
    assert (order.status, payment.status, payment.error) == ("unpaid", "failed", "see task 0198c7a4")


async def test_what_has_failed_is_asked_for_again_with_the_same_key(
    make_order: MakeOrder, session: AsyncSession, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    order = await make_order(1000)
    payment_id = begin(order.id)
    payments.note_failure("0198c7a4", payment_id=payment_id)
    assert begin(order.id) == payment_id
    assert payments.charge(payment_id=payment_id)["status"] == "paid"
    await session.refresh(order)
    assert order.status == "paid"
    payment = await session.get_one(Payment, payment_id)
    assert (payment.status, payment.error) == ("paid", None)


async def test_an_order_that_was_deleted_meanwhile_is_not_charged(
    make_order: MakeOrder, session: AsyncSession, begin: Callable[[int], str], payment_provider: Provider
) -> None:
    order = await make_order(1000)
    payment_id = begin(order.id)
    async with session.begin():
        await session.delete(order)
    with pytest.raises(NotFoundError, match=f"There is no payment {payment_id}"):
        payments.charge(payment_id=payment_id)
    payments.note_failure("0198c7a4", payment_id=payment_id)
    assert payment_provider.asked == []


def test_an_order_that_is_not_there_fails() -> None:
    with pytest.raises(NotFoundError, match="There is no order 7"):
        payments.pay(order_id=7)


@pytest.mark.parametrize("order_id", [0, 2**31, "many", None])
def test_what_is_no_order_is_refused(order_id: object) -> None:
    with pytest.raises(ArgumentsError, match="order_id"):
        payments.pay(order_id=order_id)
