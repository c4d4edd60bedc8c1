"""When tasks start, what they go before, how long and how often they may run, and how they are stopped."""

import asyncio
import csv
import gzip
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from celery.exceptions import Ignore, SoftTimeLimitExceeded
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.core import stored_files
from app.core.brokers import priority
from app.core.celery import celery_app, with_db_init
from app.core.config.celery import get_celery_settings
from app.core.single_run import AlreadyRunningError, single_run
from app.core.task_base import BaseTask
from app.core.task_outbox import enqueue_after_commit
from app.models.orders import OrderStatus
from app.services import order_keeping

settings = get_celery_settings()
celery_app.conf.task_routes |= {  # a name wins over a pattern
    "control.count_orders": {"queue": "high_priority", "priority": priority(settings, 9)},
    "control.export_orders": {"queue": "low_priority", "priority": priority(settings, 1)},
    "control.pack_exports": {"queue": "low_priority", "priority": priority(settings, 0)},
}

BATCH = 100
Id = Annotated[int, Field(ge=1, lt=2**31, examples=[1])]
Pause = Annotated[float, Field(ge=0, le=1)]
"""Seconds between two steps, in which others have the database and the disk for themselves."""
Reference = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$", examples=["2026-1007"])]


class Export(TypedDict):
    file: str
    orders: int


class Packed(TypedDict):
    packed: int
    left: int


class GivenUp(TypedDict):
    orders: int
    skipped: bool


@celery_app.task(name="control.count_orders", exposed=True, expires=60)
@with_db_init
async def count_orders(*, status: OrderStatus = "open", session: AsyncSession) -> int:
    """How many orders are in that state. Somebody waits for the number: urgent, and of no use after a minute."""
    return await order_keeping.count(session, status)


@celery_app.task(name="control.sum_orders", exposed=True, rate_limit="2/s")
@with_db_init
async def sum_orders(*, user_id: Id, session: AsyncSession) -> dict[str, int]:
    """What a user has paid in all, in cents, by currency. A worker starts two of these a second at most."""
    return await order_keeping.spent_by(session, user_id)


@celery_app.task(name="control.hold_order", exposed=True)
@with_db_init
async def hold_order(
    *,
    reference: Reference,
    user_id: Id,
    total_cents: Annotated[int, Field(ge=0, lt=2**31, examples=[4900])],
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR",
    hold_seconds: Annotated[float, Field(gt=0, le=86_400)] = 900,
    session: AsyncSession,
) -> bool:
    """Hold an order, and give it up if it is not paid in time; false if it was held already."""
    async with session.begin():
        held = await order_keeping.hold(
            session, reference=reference, user_id=user_id, total_cents=total_cents, currency=currency
        )
        if held:
            enqueue_after_commit(session, give_up_order, task_countdown=hold_seconds, reference=reference)
    return held


@celery_app.task(name="control.give_up_order", exposed=True)
@with_db_init
async def give_up_order(*, reference: Reference, session: AsyncSession) -> bool:
    """Give the order up if it is still open; false if it was paid, given up before, or is not there."""
    async with session.begin():
        return await order_keeping.give_up(session, reference)


@celery_app.task(name="control.give_up_overdue_orders", bind=True, exposed=True)
@with_db_init
async def give_up_overdue_orders(
    self: BaseTask[..., Any],
    *,
    days: Annotated[int, Field(ge=1, le=3650)] = 14,
    pause: Pause = 0,
    session: AsyncSession,
) -> GivenUp:
    """Give up what has been open for so many days, in batches; skipped while another run is at it."""
    ordered_before, orders = datetime.now(UTC) - timedelta(days=days), 0
    try:
        with single_run(self) as lost:
            while not lost.is_set():
                async with session.begin():
                    batch = await order_keeping.give_up_overdue(session, ordered_before=ordered_before, limit=BATCH)
                orders += batch
                if batch < BATCH:
                    break
                await asyncio.sleep(pause)
    except AlreadyRunningError:
        return {"orders": 0, "skipped": True}
    return {"orders": orders, "skipped": False}


@celery_app.task(name="control.export_orders", bind=True, exposed=True, soft_time_limit=600, time_limit=660)
@with_db_init
async def export_orders(self: BaseTask[..., Any], *, pause: Pause = 0, session: AsyncSession) -> Export:
    """Write all orders to a CSV file. Nothing is left of it when the task is cancelled or runs for too long."""
    target = stored_files.folder("order-archive") / f"orders-{self.request.id}.csv"
    async with session.begin():
        total, done = await order_keeping.count(session), 0
    with stored_files.written_whole(target) as part, part.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(column.key for column in order_keeping.COLUMNS)
        async for batch in order_keeping.batches(session, BATCH):
            rows.writerows(batch)
            done += len(batch)
            self.report_progress(done, total)
            if self.is_aborted():
                raise Ignore
            await asyncio.sleep(pause)  # a soft time limit raises CancelledError here, and the file is removed
    return {"file": target.name, "orders": done}


@celery_app.task(
    name="control.pack_exports",
    bind=True,
    exposed=True,
    soft_time_limit=60,
    time_limit=70,
    autoretry_for=(AlreadyRunningError,),
    retry_backoff=1,
    retry_backoff_max=60,
    max_retries=10,
)
@with_db_init
def pack_exports(self: BaseTask[..., Any], *, pause: Pause = 0) -> Packed:
    """Compress the exports. When its time is up it leaves the rest to its next run; two never run at once."""
    exports, packed = stored_files.folder("order-archive"), 0
    # when its time is up, what is packed stays; a file that was being packed is as it was
    with single_run(self), suppress(SoftTimeLimitExceeded):
        for export in sorted(exports.glob("*.csv")):
            with (
                stored_files.written_whole(export.with_suffix(".csv.gz")) as part,
                export.open("rb") as plain,
                gzip.open(part, "wb") as file,
            ):
                shutil.copyfileobj(plain, file)
            stored_files.remove(export)
            packed += 1
            time.sleep(pause)
    return {"packed": packed, "left": len(list(exports.glob("*.csv")))}
