"""The report of a month."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from pydantic import TypeAdapter, ValidationError
from reportlab.platypus import SimpleDocTemplate
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.core.mail import MailAwayError, MailRefusedError
from app.models.orders import Order
from app.models.payments import Payment
from app.models.users import User
from app.services import monthly_report
from app.services.errors import NotFoundError
from app.services.monthly_report import Figures, Month
from tests.fixtures.examples import MailServer

NOTHING = Figures(0, {}, {"pending": 0, "paid": 0, "declined": 0, "failed": 0})


@pytest.fixture(autouse=True)
def reports() -> Iterator[Path]:
    """Where they are written; there are none."""
    yield stored_files.folder("reports")
    stored_files.remove(stored_files.folder("reports"))


def order(number: int, user: User, moment: datetime, **of: Any) -> Order:
    return Order(reference=f"order {number}", user_id=user.id, ordered_at=moment, **of)


def written(month: str) -> list[list[str]]:
    with monthly_report.find(month, "csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


async def test_what_lies_within_the_month_is_counted_and_nothing_else(session: AsyncSession) -> None:
    start, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    before, after = datetime(2026, 9, 30, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    async with session.begin():
        users = [User(email=f"{n}@example.org", name="Ada", created_at=at) for n, at in enumerate([start, end, before])]
        session.add_all(users)
        await session.flush()
        orders = [
            order(1, users[0], start, total_cents=1999, currency="EUR"),
            order(2, users[0], end, total_cents=1, currency="EUR"),
            order(3, users[1], start, total_cents=500, currency="USD"),
            order(4, users[1], before, total_cents=7, currency="EUR"),
            order(5, users[1], after, total_cents=7, currency="CHF"),
        ]
        session.add_all(orders)
        await session.flush()
        moments = [start, end, end, before, after]
        kinds = ["paid", "paid", "declined", "failed", "paid"]
        session.add_all(
            Payment(id=f"payment {one.id}", order_id=one.id, status=status, created_at=moment)
            for one, status, moment in zip(orders, kinds, moments, strict=True)
        )
    assert await monthly_report.new_users(session, "2026-10") == 2
    assert await monthly_report.orders_by_currency(session, "2026-10") == {
        "EUR": {"orders": 2, "total_cents": 2000},
        "USD": {"orders": 1, "total_cents": 500},
    }
    assert await monthly_report.payments_by_status(session, "2026-10") == NOTHING.payments | {"paid": 2, "declined": 1}


@pytest.mark.parametrize(("moment", "month"), [("2026-11-01 00:00:00", "2026-11"), ("2026-10-31 23:59:59", "2026-10")])
async def test_what_the_database_has_dated_counts_in_its_month(session: AsyncSession, moment: str, month: str) -> None:
    """SQLite's own `CURRENT_TIMESTAMP` has no fractions of a second."""
    async with session.begin():
        offset = "+00:00" if session.get_bind().dialect.name == "postgresql" else ""
        values = f"'ada@example.org', 'Ada', '{moment}{offset}'"
        await session.execute(text(f"INSERT INTO users (email, name, created_at) VALUES ({values})"))  # noqa: S608 (ours)
    counted = [one for one in ("2026-10", "2026-11") if await monthly_report.new_users(session, one)]
    assert counted == [month]


async def test_a_month_in_which_nothing_happened_has_a_report_of_zeros(session: AsyncSession) -> None:
    figures = Figures(
        await monthly_report.new_users(session, "2026-02"),
        await monthly_report.orders_by_currency(session, "2026-02"),
        await monthly_report.payments_by_status(session, "2026-02"),
    )
    assert figures == NOTHING
    monthly_report.write(figures, "2026-02")
    assert [row[2] for row in written("2026-02")] == ["0"] * 6


def test_the_csv_holds_each_figure() -> None:
    payments = {"paid": 2, "declined": 1}
    orders = {"USD": {"orders": 1, "total_cents": -500}, "EUR": {"orders": 2, "total_cents": 123_456_789_012_345_678}}
    monthly_report.write(TypeAdapter(Figures).validate_python([3, orders, payments]), "2026-10")
    assert written("2026-10") == [
        ["new users", "", "3", ""],
        ["orders", "EUR", "2", "1234567890123456.78"],
        ["orders", "USD", "1", "-5.00"],
        ["payments", "paid", "2", ""],
        ["payments", "declined", "1", ""],
    ]


@pytest.mark.parametrize("currency", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_calculates_nothing_that_came_from_outside(currency: str) -> None:
    monthly_report.write(Figures(0, {currency: {"orders": 1, "total_cents": 1}}, {}), "2026-10")
    assert written("2026-10")[1][1] == f"'{currency}"


@pytest.mark.parametrize("currency", ["", "<b>&EUR", "€ 欧元 \x00", "x" * 10_000])
def test_a_pdf_is_made_of_whatever_stands_in_the_database(currency: str) -> None:
    monthly_report.write(Figures(0, {currency: {"orders": 1, "total_cents": 1}}, {}), "2026-10")
    content = monthly_report.find("2026-10", "pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")


def test_more_currencies_than_a_page_holds_go_on_to_the_next() -> None:
    many = Figures(0, {f"X{number}": {"orders": 1, "total_cents": 1} for number in range(200)}, {})
    monthly_report.write(many, "2026-10")
    assert monthly_report.find("2026-10", "pdf").read_bytes().count(b"/Type /Page\n") > 1


def test_written_twice_the_files_are_the_same(reports: Path) -> None:
    links = monthly_report.write(NOTHING, "2026-10")
    first = {path.name: path.read_bytes() for path in (reports / "2026-10").iterdir()}
    with time_machine.travel("2027-01-01"):
        assert monthly_report.write(NOTHING, "2026-10") == links
    assert {path.name: path.read_bytes() for path in (reports / "2026-10").iterdir()} == first
    assert set(first) == {"report.csv", "report.pdf"}


def test_a_report_that_breaks_off_leaves_the_one_before(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monthly_report.write(NOTHING, "2026-10")
    before = (reports / "2026-10" / "report.pdf").read_bytes()

    def break_off(document: SimpleDocTemplate, _parts: object) -> None:
        Path(document.filename).write_bytes(b"%PDF-")
        raise OSError("no space left")

    monkeypatch.setattr(SimpleDocTemplate, "build", break_off)
    with pytest.raises(OSError, match="no space left"):
        monthly_report.write(NOTHING, "2026-10")
    assert {path.name for path in (reports / "2026-10").iterdir()} == {"report.csv", "report.pdf"}
    assert (reports / "2026-10" / "report.pdf").read_bytes() == before


def test_a_report_that_was_not_written_is_not_found(reports: Path) -> None:
    with pytest.raises(NotFoundError, match="2026-09"):
        monthly_report.find("2026-09", "pdf")
    assert not (reports / "2026-09").exists()


@pytest.mark.parametrize(
    "month",
    ["2026-12", "2027-01", "2026-13", "2026-00", "0000-01", "2026-1", "2026-10-01", "../2026-10", "\u0662026-10", ""],
)
@time_machine.travel("2026-11-21", tick=False)
def test_a_month_that_has_not_begun_or_is_none_is_refused(month: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Month).validate_python(month)


@time_machine.travel("2026-11-01T00:00:00+00:00", tick=False)
def test_a_month_begins_in_utc() -> None:
    assert TypeAdapter(Month).validate_python("2026-11") == "2026-11"


@pytest.mark.parametrize(
    ("today", "month"),
    [("2026-01-01T00:00:00+00:00", "2025-12"), ("2026-03-31", "2026-02"), ("2026-11-30T23:59:59+00:00", "2026-10")],
)
def test_the_last_month_is_the_one_before_this_one(today: str, month: str) -> None:
    with time_machine.travel(today, tick=False):
        assert monthly_report.last_month() == month


@pytest.mark.parametrize(("mail_to", "recipient"), [(None, "service@example.org"), ("ada@example.org",) * 2])
async def test_the_message_tells_both_links(mail_server: MailServer, mail_to: str | None, recipient: str) -> None:
    await monthly_report.mail("2026-10", mail_to)
    (message,) = mail_server.inbox
    assert (message["To"], message["From"]) == (recipient, "service@example.org")
    for kind in ("pdf", "csv"):
        assert f"http://service.example.org/api/v1/reports/2026-10.{kind}" in message.get_content().splitlines()


async def test_a_mail_server_that_is_away_or_refuses_is_told(mail_server: MailServer) -> None:
    mail_server.refusals["service@example.org"] = "451 try later"
    with pytest.raises(MailAwayError):
        await monthly_report.mail("2026-10", None)
    mail_server.refusals["service@example.org"] = "550 no such mailbox"
    with pytest.raises(MailRefusedError):
        await monthly_report.mail("2026-10", None)
