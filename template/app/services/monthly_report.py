"""The report of a month: its figures, both of its files, and the message that says where these are."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator, Field
from reportlab.lib import colors
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate, Table
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.core.config.smtp import get_smtp_settings
from app.core.mail import new_message, open_mail
from app.core.stored_files import folder, written_whole
from app.models.orders import Order
from app.models.payments import Payment, PaymentStatus
from app.models.users import User
from app.services.errors import NotFoundError

Kind = Literal["pdf", "csv"]
Row = tuple[str, str, int, Decimal | None]
HEADER = ("figure", "of", "count", "total")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would calculate."""


def _begun(month: str) -> str:
    if date.fromisoformat(f"{month}-01") > datetime.now(UTC).date():
        raise ValueError("has not begun yet; give a month that has")
    return month


Month = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$", examples=["2026-10"]), AfterValidator(_begun)]
"""In UTC. That under way gives the figures so far."""


class OrderFigures(TypedDict):
    orders: int
    total_cents: int


class Figures(NamedTuple):
    new_users: int
    orders: dict[str, OrderFigures]
    """By currency."""
    payments: dict[str, int]
    """By status."""


class Links(TypedDict):
    pdf: str
    csv: str


def last_month() -> str:
    return f"{datetime.now(UTC).replace(day=1) - timedelta(days=1):%Y-%m}"


async def new_users(session: AsyncSession, month: str) -> int:
    return await session.scalar(select(func.count()).where(_within(User.created_at, month))) or 0


async def orders_by_currency(session: AsyncSession, month: str) -> dict[str, OrderFigures]:
    query = select(Order.currency, func.count(), func.sum(Order.total_cents)).group_by(Order.currency)
    found = await session.execute(query.where(_within(Order.ordered_at, month)))
    return {currency: {"orders": orders, "total_cents": total_cents} for currency, orders, total_cents in found}


async def payments_by_status(session: AsyncSession, month: str) -> dict[str, int]:
    query = select(Payment.status, func.count()).group_by(Payment.status)
    found = await session.execute(query.where(_within(Payment.created_at, month)))
    return dict.fromkeys(get_args(PaymentStatus), 0) | dict(found.all())


def _within(moment: InstrumentedAttribute[datetime], month: str) -> ColumnElement[bool]:
    start = datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    end = (start + timedelta(days=31)).replace(day=1)
    # SQLite compares text, in which `00:00:00` comes before `00:00:00.000000`
    tick = timedelta(microseconds=1)
    return (moment > start - tick) & (moment <= end - tick)


def write(figures: Figures, month: str) -> Links:
    """Both files, whole or not at all. Written again, they take the place of the old ones."""
    rows = list(_rows(figures))
    folder("reports", month)
    with written_whole(_path(month, "csv")) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *([_plain(cell) for cell in row] for row in rows)])
    with written_whole(_path(month, "pdf")) as part:
        table = Table([HEADER, *([_text(cell) for cell in row] for row in rows)], hAlign="LEFT", repeatRows=1)
        table.setStyle([("LINEBELOW", (0, 0), (-1, 0), 1, colors.black), ("ALIGN", (2, 0), (-1, -1), "RIGHT")])
        title = f"Report of {month}"
        # `invariant`: of the same figures the same file, without the time at which it was made
        document = SimpleDocTemplate(str(part), title=title, invariant=1)
        document.build([Paragraph(title, getSampleStyleSheet()["Title"]), table])
    return {"pdf": _link(month, "pdf"), "csv": _link(month, "csv")}


def _rows(figures: Figures) -> Iterator[Row]:
    yield "new users", "", figures.new_users, None
    if not figures.orders:
        yield "orders", "", 0, Decimal("0.00")
    for currency, of in sorted(figures.orders.items()):
        yield "orders", currency, of["orders"], Decimal(of["total_cents"]).scaleb(-2)
    for status, count in figures.payments.items():
        yield "payments", status, count, None


def _plain(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)[:30]  # a longer one pushes the others off the page


def find(month: str, kind: Kind) -> Path:
    path = _path(month, kind)
    if not path.is_file():
        raise NotFoundError(f"There is no report of {month}; queue reports.monthly to have it written.")
    return path


async def mail(month: str, mail_to: str | None) -> None:
    """Say where the report is: to this address, or else to our own."""
    settings = get_smtp_settings()
    message = new_message(mail_to or settings.sender, f"Report of {month}")
    links = "".join(f"{settings.links_to}{_link(month, kind)}\n" for kind in get_args(Kind))
    message.set_content(f"The report of {month} is written:\n\n{links}")
    async with open_mail() as mailer:
        await mailer.send(message)


def _path(month: str, kind: Kind) -> Path:
    return folder("reports") / month / f"report.{kind}"


def _link(month: str, kind: Kind) -> str:
    return f"/api/v1/reports/{month}.{kind}"
