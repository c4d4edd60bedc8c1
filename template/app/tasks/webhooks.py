"""Webhooks: work on those that came in, and those that go out."""

import uuid
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.http_calls import CalleeAwayError
from app.core.task_base import BaseTask
from app.services import webhooks
from app.services.errors import NotFoundError


@celery_app.task(
    name="webhooks.handle",
    autoretry_for=(NotFoundError,),  # an event may come before what it is about
    max_retries=6,
    retry_backoff=1,
    retry_jitter=True,
)
@with_db_init
async def handle(*, event_id: str, session: AsyncSession) -> bool:
    """Do what follows from an event that came in; whether anything did."""
    async with session.begin():
        return await webhooks.handle(session, event_id)


@celery_app.task(name="webhooks.send", bind=True, exposed=True, max_retries=8)
@with_db_init
async def send(
    self: BaseTask[..., Any],
    *,
    type: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$", examples=["order.paid"])],  # noqa: A002 (its name)
    data: Annotated[dict[str, Any], Field(examples=[{"reference": "2026-1007"}])],
) -> str:
    """Send an event to WEBHOOKS_URL, signed, until it is taken; returns its id. Tried for some minutes."""
    message_id = f"msg_{self.request.id or uuid.uuid4()}"
    try:
        await webhooks.send(message_id, type, data)
    except CalleeAwayError as error:
        raise self.retry(exc=error, countdown=error.pause(self.request.retries)) from error
    return message_id
