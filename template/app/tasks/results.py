"""What becomes of results: ignored ones, those of large or binary messages, large ones."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.core.celery import celery_app, with_db_init
from app.core.task_base import BaseTask
from app.services import order_exports, users

# for both who queue and who work, as both import this; unlike pickle, it holds data only
celery_app.conf.accept_content = ["json", "msgpack"]


Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""MessagePack has no larger ones."""


class ExportedOrders(TypedDict):
    rows: int
    link: str


@celery_app.task(name="results.ignored", exposed=True, ignore_result=True)
@with_db_init
async def note_activity(*, user_id: Annotated[int, Field(ge=1, lt=2**31)], session: AsyncSession) -> None:
    """Note that a user was active just now: nobody waits for it, and only a failure is kept."""
    async with session.begin():
        await users.update(session, user_id, {"last_activity": datetime.now(UTC)})


@celery_app.task(name="results.compressed", exposed=True, compression="gzip")
def count_words(*, texts: Annotated[list[str], Field(examples=[["to be or not to be"]])]) -> int:
    """Count the words of long texts, which are compressed on their way through the queue."""
    return sum(len(text.split()) for text in texts)


@celery_app.task(name="results.msgpack", exposed=True, serializer="msgpack")
def average(*, numbers: Annotated[list[Number], Field(min_length=1, examples=[[1, 2, 6]])]) -> float:
    """The average of many numbers, which as MessagePack take less room in the queue than as JSON."""
    return sum(numbers) / len(numbers)


@celery_app.task(name="results.by_value", exposed=True)
@with_db_init
async def list_orders(*, session: AsyncSession) -> list[str]:
    """The references of all orders, as long as they are few."""
    return await order_exports.references(session)


@celery_app.task(name="results.by_reference", bind=True, exposed=True)
@with_db_init
async def export_orders(self: BaseTask[..., Any], *, session: AsyncSession) -> ExportedOrders:
    """Write all orders, however many, to a file; the result is where it is."""
    export_id = UUID(self.request.id or uuid4().hex)  # so that it writes the same file when it runs again
    return {"rows": await order_exports.write(session, export_id), "link": order_exports.link(export_id)}
