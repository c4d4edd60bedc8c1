"""Files of rows that become rows of the database."""

from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.brokers import priority
from app.core.celery import celery_app, with_db_init
from app.core.config.celery import get_celery_settings
from app.core.task_base import BaseTask
from app.schemas.order_import import ImportResult
from app.services import order_import

celery_app.conf.task_routes |= {
    "imports.orders": {"queue": "low_priority", "priority": priority(get_celery_settings(), 5)}
}


@celery_app.task(
    name="imports.orders",
    bind=True,
    soft_time_limit=3600,
    time_limit=3660,
    autoretry_for=(IntegrityError,),  # a user was deleted between being looked up and having an order
    max_retries=3,
    retry_backoff=1,
)
@with_db_init
async def orders(self: BaseTask[..., Any], *, file: UUID, session: AsyncSession) -> ImportResult:
    """Import the orders of a file that was sent to /api/v1/imports."""

    def tell(read: int, size: int) -> bool:
        self.report_progress(read, size, "bytes")
        return not self.is_aborted()

    result = await order_import.run(session, file, tell)
    if result["bad"]:
        result["report"] = f"/api/v1/imports/{file}/bad-rows"
    return result
