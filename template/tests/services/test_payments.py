"""One charge for an order, whoever asks and however often."""

import asyncio

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.payments import get_payments_settings
from app.core.database import open_session
from app.core.http_calls import CalleeAwayError, CalleeRefusedError
from app.models.orders import Order
from app.models.payments import Payment
from app.services import payments
from app.services.errors import NotFoundError
from scripts.payment_provider import Provider
from tests.fixtures.payments import MakeOrder


async def begin(order: Order) -> Payment:
    async with open_session() as session, session.begin():
        return await payments.begin(session, order.id)


async def note_unpaid(payment: Payment) -> None:
    async with open_session() as session, session.begin():
        await payments.note_unpaid(session, payment.id, "failed", "gave up")


async def stored(payment: Payment) -> tuple[str, str]:
    """The state of the payment, and that of its order."""
    async with open_session() as session:
        payment, order = await payments.find(session, payment.id)
    return payment.status, order.status


@pytest.fixture
def unknown_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = get_payments_settings().model_copy(update={"key": "of somebody else"})
    monkeypatch.setattr(payments, "get_payments_settings", lambda: settings)


async def test_an_order_has_one_payment_though_many_begin_it_at_the_same_time(
    make_order: MakeOrder, session: AsyncSession
) -> None:
    order = await make_order(1000)
    begun = await asyncio.gather(*(begin(order) for _ in range(5)))
    assert len({payment.id for payment in begun}) == 1
    assert await session.scalar(select(func.count()).select_from(Payment)) == 1


async def test_an_order_that_is_not_there_has_no_payment(session: AsyncSession) -> None:
    with pytest.raises(NotFoundError, match=r"There is no order 7\."):
        await payments.begin(session, 7)


async def test_the_payment_of_an_order_that_is_paid_already_is_too(
    make_order: MakeOrder, session: AsyncSession
) -> None:
    order = await make_order(1000)
    async with session.begin():
        order.status = "paid"
    assert (await begin(order)).status == "paid"


async def test_a_payment_that_has_failed_begins_again_with_the_same_key(make_order: MakeOrder) -> None:
    order = await make_order(1000)
    first = await begin(order)
    await note_unpaid(first)
    again = await begin(order)
    assert (again.id, again.status) == (first.id, "pending")


async def test_the_provider_charges_once_for_a_payment(make_order: MakeOrder, payment_provider: Provider) -> None:
    order = await make_order(1000)
    payment = await begin(order)
    # as after a crash between the answer and our commit
    assert await payments.charge(payment, order) == await payments.charge(payment, order)
    (charge,) = payment_provider.charges.values()
    assert (charge["amount"], charge["currency"], charge["reference"]) == (1000, "EUR", "2026-1000")


@pytest.mark.parametrize(
    ("total_cents", "error"),
    [
        (1402, payments.DeclinedError),
        (1422, CalleeRefusedError),
        (1429, CalleeAwayError),
        (1500, CalleeAwayError),
        (1504, CalleeAwayError),
    ],
)
async def test_what_may_work_the_next_time_is_told_apart_from_what_never_will(
    make_order: MakeOrder, payment_provider: Provider, total_cents: int, error: type[Exception]
) -> None:
    order = await make_order(total_cents)
    with pytest.raises(error):
        await payments.charge(await begin(order), order)


async def test_a_provider_that_is_away_may_be_back_the_next_time(make_order: MakeOrder) -> None:
    order = await make_order(1000)
    with pytest.raises(CalleeAwayError, match=r"^127\.0\.0\.1 does not answer: ConnectError"):
        await payments.charge(await begin(order), order)


async def test_a_key_that_the_provider_does_not_know_is_refused(
    make_order: MakeOrder, payment_provider: Provider, unknown_key: None
) -> None:
    order = await make_order(1000)
    with pytest.raises(CalleeRefusedError, match="401"):
        await payments.charge(await begin(order), order)


async def test_an_answer_that_is_none_of_the_provider_proves_nothing(
    make_order: MakeOrder, payment_provider: Provider
) -> None:
    order = await make_order(1000)
    payment = await begin(order)
    await payments.charge(payment, order)
    del payment_provider.charges[payment.id]["id"]
    with pytest.raises(CalleeAwayError, match="the answer is not one of the provider"):
        await payments.charge(payment, order)


async def test_what_is_paid_is_never_noted_as_unpaid(make_order: MakeOrder, session: AsyncSession) -> None:
    payment = await begin(await make_order(1000))
    async with session.begin():
        await payments.note_paid(session, payment.id, "ch_1")
    await note_unpaid(payment)
    assert await stored(payment) == ("paid", "paid")


async def test_what_has_failed_may_turn_out_to_be_paid(make_order: MakeOrder, session: AsyncSession) -> None:
    payment = await begin(await make_order(1000))
    await note_unpaid(payment)
    assert await stored(payment) == ("failed", "unpaid")
    async with session.begin():
        await payments.note_paid(session, payment.id, "ch_1")
    assert await stored(payment) == ("paid", "paid")


async def test_what_was_declined_stays_so(make_order: MakeOrder, session: AsyncSession) -> None:
    payment = await begin(await make_order(1000))
    async with session.begin():
        await payments.note_unpaid(session, payment.id, "declined", "no money")
    await note_unpaid(payment)
    assert await stored(payment) == ("declined", "unpaid")


async def test_a_payment_that_has_gone_meanwhile_is_told_with_what_the_provider_took(session: AsyncSession) -> None:
    with pytest.raises(NotFoundError, match=r"Payment gone .* ch_1"):
        await payments.note_paid(session, "gone", "ch_1")
    await payments.note_unpaid(session, "gone", "failed", "gave up")
