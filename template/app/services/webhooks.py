"""Webhooks: what others tell us, each taken once, and what we tell them."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config.webhooks import get_webhooks_settings
from app.core.http_calls import post
from app.core.webhook_signature import sign
from app.models.orders import Order
from app.models.payments import Payment
from app.models.webhook_events import WebhookEvent
from app.services.errors import NotFoundError

logger = structlog.stdlib.get_logger(__name__)


async def receive(session: AsyncSession, event_id: str, event_type: str, data: dict[str, Any]) -> bool:
    """Write it down; False where it was written down before."""
    try:
        async with session.begin_nested():
            session.add(WebhookEvent(id=event_id, type=event_type, data=data))
    except IntegrityError:
        return False
    return True


async def handle(session: AsyncSession, event_id: str) -> bool:
    """Do what follows from it, once; whether anything did. What we know nothing of is noted, and that is all."""
    now, unhandled = datetime.now(UTC), WebhookEvent.handled_at.is_(None)
    # whoever comes second waits here for the end of the first one's transaction, and then finds it handled
    taken = update(WebhookEvent).where(WebhookEvent.id == event_id, unhandled).values(handled_at=now)
    event = await session.scalar(taken.returning(WebhookEvent))
    if event is None:
        return False
    handler = _handlers.get(event.type)
    if handler is None:
        logger.info("ignored a webhook", type=event.type, id=event_id)
        return False
    await handler(session, event.data)
    return True


async def _order_paid(session: AsyncSession, data: dict[str, Any]) -> None:
    is_it = Order.reference == str(data.get("reference"))
    paid = await session.scalars(update(Order).where(is_it).values(status="paid").returning(Order.id))
    if not paid.all():
        raise NotFoundError("order.paid: there is no order with this reference, or not yet")
    orders = select(Order.id).where(is_it)
    await session.execute(update(Payment).where(Payment.order_id.in_(orders)).values(status="paid", error=None))


_handlers: dict[str, Callable[[AsyncSession, dict[str, Any]], Awaitable[None]]] = {"order.paid": _order_paid}
"""By type. Events come twice, late, and in any order: what follows from one must not depend on others."""


async def send(message_id: str, event_type: str, data: dict[str, Any]) -> None:
    """To WEBHOOKS_URL. The same id at each try lets its receiver tell that it is the same event."""
    settings = get_webhooks_settings()
    body, now = json.dumps({"type": event_type, "data": data}).encode(), int(time.time())
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(settings.secret, message_id, now, body),
    }
    await post(str(settings.url), body=body, headers=headers, patience=settings.timeout)
