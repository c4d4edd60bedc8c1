"""The report of a month: counted in parallel, written, and told of by e-mail."""

from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import UUID, uuid5

from celery import chord
from pydantic import EmailStr
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.database import is_away
from app.core.mail import MailAwayError
from app.core.task_base import BaseTask
from app.core.workflow_progress import begin_workflow, finish_part
from app.services import monthly_report
from app.services.monthly_report import Figures, Links, Month, OrderFigures

T = TypeVar("T")


class CountingError(Exception):
    """A part of the report could not be counted. Its log says why."""


@celery_app.task(name="reports.monthly", bind=True, exposed=True)
def monthly(self: BaseTask[..., Any], *, month: Month | None = None, mail_to: EmailStr | None = None) -> Links:
    """Write the report of a month (the last one, unless given) as PDF and CSV, and mail links to them.

    They go to `mail_to`, or else to this service's own address.
    """
    month = month or monthly_report.last_month()
    figures = [part.si(month=month) for part in (new_users, orders_by_currency, payments_by_status)]
    begin_workflow(self, len(figures) + 1)
    raise self.replace(chord(figures, write.s(month=month, mail_to=mail_to)))


@celery_app.task(name="reports.new_users", bind=True)
@with_db_init
async def new_users(self: BaseTask[..., Any], *, month: str, session: AsyncSession) -> int:
    """Count the users who came in the month."""
    return await _counted(self, monthly_report.new_users(session, month))


@celery_app.task(name="reports.orders_by_currency", bind=True)
@with_db_init
async def orders_by_currency(self: BaseTask[..., Any], *, month: str, session: AsyncSession) -> dict[str, OrderFigures]:
    """Count and sum the orders of the month."""
    return await _counted(self, monthly_report.orders_by_currency(session, month))


@celery_app.task(name="reports.payments_by_status", bind=True)
@with_db_init
async def payments_by_status(self: BaseTask[..., Any], *, month: str, session: AsyncSession) -> dict[str, int]:
    """Count the payments that were begun in the month."""
    return await _counted(self, monthly_report.payments_by_status(session, month))


async def _counted(part: BaseTask[..., Any], figures: Awaitable[T]) -> T:
    """All that is seen of a part on the whole is its error, so that names the part."""
    try:
        counted = await figures
    except Exception as error:
        if is_away(error):  # then the part is tried again
            raise
        raise CountingError(f"{part.name} failed: {type(error).__name__}") from error
    finish_part(part, part.name)
    return counted


@celery_app.task(name="reports.write", bind=True)
def write(self: BaseTask[..., Any], figures: Figures, *, month: str, mail_to: str | None) -> Links:
    """Write the report from its figures, and have it told of; returns where it is."""
    links = monthly_report.write(figures, month)
    # a task of its own, for what is written need not be written again when the mail server is away; and of an id that
    # comes out the same should this run twice
    mail_id = self.request.id and str(uuid5(UUID(self.request.id), "mail"))
    mail.apply_async(kwargs={"month": month, "mail_to": mail_to}, task_id=mail_id)
    finish_part(self, self.name)
    return links


@celery_app.task(
    name="reports.mail", autoretry_for=(MailAwayError,), max_retries=12, retry_backoff=2, retry_backoff_max=600
)
@with_db_init
async def mail(*, month: str, mail_to: str | None) -> None:
    """Send the links, until the mail server takes them."""
    await monthly_report.mail(month, mail_to)
