"""Webhooks: work on those that came in, and those that go out."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery._state import _task_stack  # type: ignore[attr-defined]  # not in celery-types
from celery.exceptions import Retry
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.http_calls import CalleeAwayError, CalleeRefusedError
from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.services import webhooks as service
from app.services.errors import NotFoundError
from app.tasks import webhooks
from tests.fixtures.payments import MakeOrder
from tests.fixtures.webhooks import Receiver

DATA = {"reference": "2026-1000"}


@contextmanager
def in_worker(task: BaseTask[..., Any], retries: int = 0) -> Iterator[None]:
    """As in a worker, which is asked by a message and not by a call."""
    _task_stack.push(task)
    task.push_request(id="0198c7a4", called_directly=False, is_eager=True, retries=retries)
    try:
        yield
    finally:
        task.pop_request()
        _task_stack.pop()


async def test_handle_does_what_follows_from_an_event(make_order: MakeOrder, session: AsyncSession) -> None:
    order = await make_order(1000)
    async with session.begin():
        await service.receive(session, "msg_1", "order.paid", DATA)
    assert webhooks.handle(event_id="msg_1") is True
    assert webhooks.handle(event_id="msg_1") is False
    await session.refresh(order)
    assert order.status == "paid"


async def test_an_event_that_comes_before_its_order_is_tried_again(session: AsyncSession) -> None:
    async with session.begin():
        await service.receive(session, "msg_1", "order.paid", DATA)
    with in_worker(webhooks.handle), pytest.raises(Retry):
        webhooks.handle.run(event_id="msg_1")
    with in_worker(webhooks.handle, webhooks.handle.max_retries or 0), pytest.raises(NotFoundError):
        webhooks.handle.run(event_id="msg_1")


def test_send_signs_an_event_and_says_its_id(webhook_receiver: Receiver) -> None:
    message_id = webhooks.send(type="order.paid", data=DATA)
    (received,) = webhook_receiver.received
    assert (received.message_id, received.body) == (message_id, {"type": "order.paid", "data": DATA})


@pytest.mark.parametrize("answer", [500, 503, 429, 0], ids=["broken", "away", "too many", "no answer"])
def test_an_event_is_sent_again_under_its_id(webhook_receiver: Receiver, answer: int) -> None:
    webhook_receiver.answers = [answer]
    with in_worker(webhooks.send), pytest.raises(Retry):
        webhooks.send.run(type="order.paid", data=DATA)
    with in_worker(webhooks.send, retries=1):
        assert webhooks.send.run(type="order.paid", data=DATA) == "msg_0198c7a4"
    assert [one.message_id for one in webhook_receiver.received] == ["msg_0198c7a4"] * 2


def test_each_try_is_signed_anew(webhook_receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    for ahead in (1, 2):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead)
        with in_worker(webhooks.send):
            webhooks.send.run(type="order.paid", data=DATA)
    first, second = webhook_receiver.received
    assert first.signature != second.signature


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 302])
def test_what_was_refused_is_not_sent_again(webhook_receiver: Receiver, answer: int) -> None:
    webhook_receiver.answers = [answer]
    with in_worker(webhooks.send), pytest.raises(CalleeRefusedError, match=str(answer)):
        webhooks.send.run(type="order.paid", data=DATA)
    assert len(webhook_receiver.received) == 1


def test_a_receiver_that_stays_away_is_given_up() -> None:
    with in_worker(webhooks.send, webhooks.send.max_retries or 0), pytest.raises(CalleeAwayError, match="ConnectError"):
        webhooks.send.run(type="order.paid", data=DATA)


@pytest.mark.parametrize("arguments", [{"type": "", "data": {}}, {"type": "two words", "data": {}}, {"type": "a"}])
def test_what_is_no_event_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentsError):
        webhooks.send(**arguments)
