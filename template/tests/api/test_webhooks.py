"""Webhooks that come in: checked, written down, answered at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import task_outbox
from app.core.resources import UnavailableError
from app.core.task_outbox_entry import OutboxEntry
from app.core.task_queue import TaskQueue
from app.models.webhook_events import WebhookEvent
from tests.fixtures.webhooks import order_paid, webhook

WEBHOOKS = "/api/v1/webhooks"


@pytest.fixture
async def queue_away(client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async def refuse(*_: object) -> str:
        raise UnavailableError("The task queue is not available; try again soon.")

    monkeypatch.setattr(TaskQueue, "enqueue", refuse)
    yield
    pusher = task_outbox._pushers.get(asyncio.get_running_loop())
    if pusher and pusher._task:  # it is at work after the answer, on a connection of its own
        await pusher._task


async def count(session: AsyncSession, table: type[Any]) -> int:
    return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_a_webhook_is_written_down_and_queued_also_while_redis_is_away(
    client: httpx2.AsyncClient, session: AsyncSession, queue_away: None
) -> None:
    answer = await client.post(WEBHOOKS, **webhook(order_paid("2026-1")))
    assert (answer.status_code, answer.content) == (202, b"")
    event = await session.get_one(WebhookEvent, "msg_1")
    assert (event.type, event.data, event.handled_at) == ("order.paid", {"reference": "2026-1"}, None)
    entry = (await session.scalars(select(OutboxEntry))).one()
    assert (entry.name, entry.arguments) == ("webhooks.handle", {"event_id": "msg_1"})


async def test_an_event_that_comes_again_is_answered_alike_and_does_nothing(
    client: httpx2.AsyncClient, session: AsyncSession, queue_away: None
) -> None:
    deliveries = [webhook(order_paid("2026-1")), webhook(order_paid("2026-1"), age=7), webhook(order_paid("2026-2"))]
    for delivery in deliveries:
        assert (await client.post(WEBHOOKS, **delivery)).status_code == 202
    assert (await count(session, WebhookEvent), await count(session, OutboxEntry)) == (1, 1)


async def test_an_event_that_comes_several_times_at_once_is_taken_once(
    client: httpx2.AsyncClient, session: AsyncSession, queue_away: None
) -> None:
    delivery = webhook(order_paid("2026-1"))
    answers = await asyncio.gather(*(client.post(WEBHOOKS, **delivery) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [202] * 5
    assert (await count(session, WebhookEvent), await count(session, OutboxEntry)) == (1, 1)


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_webhook_that_is_not_signed_is_refused(
    client: httpx2.AsyncClient, session: AsyncSession, missing: str
) -> None:
    delivery = webhook(order_paid("2026-1"))
    del delivery["headers"][missing]
    answer = await client.post(WEBHOOKS, **delivery)
    assert answer.status_code == 401
    assert missing in answer.json()["detail"]
    assert await count(session, WebhookEvent) == 0


@pytest.mark.parametrize(
    "delivery",
    [
        webhook(order_paid("2026-1"), secret="of somebody else"),
        webhook(order_paid("2026-1"), age=400),
        webhook(order_paid("2026-1")) | {"content": order_paid("2026-2")},
    ],
    ids=["another's", "too old", "changed on its way"],
)
async def test_a_webhook_of_somebody_else_is_refused(
    client: httpx2.AsyncClient, session: AsyncSession, delivery: dict[str, Any]
) -> None:
    assert (await client.post(WEBHOOKS, **delivery)).status_code == 401
    assert await count(session, WebhookEvent) == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"no JSON", "body"),
        (b"\xff\xfe{}", "body"),
        (b"[]", "body"),
        (b'{"data": {}}', "body.type"),
        (b'{"type": "", "data": {}}', "body.type"),
        (b'{"type": "order.paid", "data": []}', "body.data"),
        (b'{"type": "order.paid", "data": {"reference": "\\u0000"}}', "body.data.reference"),
    ],
)
async def test_a_webhook_that_cannot_be_read_is_refused(
    client: httpx2.AsyncClient, session: AsyncSession, body: bytes, field: str
) -> None:
    answer = await client.post(WEBHOOKS, **webhook(body))
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await count(session, WebhookEvent) == 0


@pytest.mark.parametrize("event_id", ["msg.1", "msg 1", "m" * 201])
async def test_an_id_that_is_none_is_refused(client: httpx2.AsyncClient, event_id: str) -> None:
    answer = await client.post(WEBHOOKS, **webhook(order_paid("2026-1"), event_id))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "header.webhook-id"


async def test_a_webhook_that_is_too_large_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.post(WEBHOOKS, **webhook(order_paid("9" * 2_000_000)))).status_code == 413
