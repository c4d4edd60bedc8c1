"""What becomes of a file of orders."""

import asyncio
import csv
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.models.orders import Order
from app.models.users import User
from app.schemas.order_import import ImportResult
from app.services import order_import
from app.services.errors import NotFoundError
from app.services.order_import import FileRefusedError

FILE, OTHER = UUID(int=1), UUID(int=2)
HEADER = "reference,email,total_cents,currency,ordered_at\n"
GOOD = "{},ada@example.org,1250,EUR,2026-10-01T12:00:00Z\n"


@pytest.fixture(autouse=True)
async def _ada(session: AsyncSession) -> None:
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada"))


@pytest.fixture(autouse=True)
def _folder() -> Iterator[None]:
    """Empty; nothing half-written is left behind, however it ended."""
    stored_files.remove(stored_files.folder("imports"))
    yield
    assert not list(stored_files.folder("imports").glob("*.part"))


def write(content: str | bytes, file: UUID = FILE) -> Path:
    path = order_import.upload_of(file)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def go_on(_read: int, _size: int) -> bool:
    return True


def crash_after(batches: int) -> Callable[[int, int], bool]:
    left = iter(range(batches - 1))

    def crash(_read: int, _size: int) -> bool:
        if next(left, None) is None:
            raise MemoryError
        return True

    return crash


async def imported(session: AsyncSession, content: str | bytes, file: UUID = FILE) -> ImportResult:
    write(content, file)
    return await order_import.run(session, file, go_on)


async def references(session: AsyncSession) -> list[str]:
    return list((await session.scalars(select(Order.reference).order_by(Order.reference))).all())


def counts(rows: int, imported: int, duplicates: int, bad: int) -> dict[str, object]:
    return {"rows": rows, "imported": imported, "duplicates": duplicates, "bad": bad}


async def test_a_row_becomes_an_order_of_its_user(session: AsyncSession) -> None:
    row = "2026-1007,ADA@example.org,1250,EUR,2026-10-01T14:00:00+02:00\n"
    result = await imported(session, HEADER + row)
    assert result == counts(1, 1, 0, 0) | {"errors": [], "report": None}
    order = (await session.scalars(select(Order))).one()
    assert order.user_id == await session.scalar(select(User.id))
    assert (order.reference, order.total_cents, order.currency) == ("2026-1007", 1250, "EUR")
    assert order.ordered_at == datetime(2026, 10, 1, 12, tzinfo=UTC)
    assert (order.status, order.imported_from) == ("open", str(FILE))
    assert not order_import.bad_rows_of(FILE).exists()


async def test_columns_may_come_in_any_order_after_a_byte_order_mark(session: AsyncSession) -> None:
    content = (
        "\ufeffemail,reference,ordered_at,currency,total_cents\r\nada@example.org,7,2026-10-01T12:00:00Z,EUR,5\r\n"
    )
    assert (await imported(session, content))["imported"] == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7,bob@example.org,5,EUR,2026-10-01T12:00:00Z", "email: there is no such user"),
        (",ada@example.org,5,EUR,2026-10-01T12:00:00Z", "reference: String should have at least 1 character"),
        ("7\x1b[2J,ada@example.org,5,EUR,2026-10-01T12:00:00Z", "reference: String should match"),
        (f"{'7' * 101},ada@example.org,5,EUR,2026-10-01T12:00:00Z", "reference: String should have at most 100"),
        ("7,ada@example.org,-5,EUR,2026-10-01T12:00:00Z", "total_cents: Input should be a whole number of cents"),
        ("7,ada@example.org,2147483648,EUR,2026-10-01T12:00:00Z", "total_cents: Input should be less than 2147483648"),
        ("7,ada@example.org,12.50,EUR,2026-10-01T12:00:00Z", "total_cents: Input should be a whole number of cents"),
        ("7,ada@example.org,49.00,EUR,2026-10-01T12:00:00Z", "total_cents: Input should be a whole number of cents"),
        ("7,ada@example.org,1_000,EUR,2026-10-01T12:00:00Z", "total_cents: Input should be a whole number of cents"),
        ("7,ada@example.org,,EUR,2026-10-01T12:00:00Z", "total_cents: Input should be a whole number of cents"),
        ("7,ada@example.org,5,euro,2026-10-01T12:00:00Z", "currency: String should match"),
        ("7,ada@example.org,5,EUR,yesterday", "ordered_at: Invalid isoformat string"),
        ("7,ada@example.org,5,EUR,2026-10-01T12:00:00", "ordered_at: Input should have timezone info"),
        ("7,ada@example.org,5,EUR,0001-01-01T00:00:00+10:00", "ordered_at: Input should be a moment of the years"),
        (
            "7,ada@example.org,x,EUR,y",
            "total_cents: Input should be a whole number of cents, such as 4900; ordered_at: ",
        ),
        ("7,ada@example.org,5,EUR", "has 4 cells instead of 5"),
        ("7,ada@example.org,5,EUR,2026-10-01T12:00:00Z,6", "has 6 cells instead of 5"),
        ('"7"7,ada@example.org,5,EUR,2026-10-01T12:00:00Z', "',' expected after '\"'"),
    ],
)
async def test_a_bad_row_is_told_with_its_line_and_the_others_are_imported(
    session: AsyncSession, row: str, message: str
) -> None:
    result = await imported(session, f"{HEADER}{GOOD.format(1)}{row}\n{GOOD.format(2)}")
    assert counts(3, 2, 0, 1).items() <= result.items()
    assert await references(session) == ["1", "2"]
    (error,) = result["errors"]
    assert error["line"] == 3
    assert error["message"].startswith(message)
    with order_import.bad_rows_of(FILE).open(newline="") as report:
        header, bad = csv.reader(report)
    assert header == ["line", "message", *HEADER.strip().split(",")]
    assert bad[:2] == ["3", error["message"]]
    assert bad[2:] in (next(csv.reader([row])), [])


async def test_lines_are_counted_where_a_cell_holds_some(session: AsyncSession) -> None:
    content = f'{HEADER}\n"1\r\n2\n3",x,5,EUR,2026-10-01T12:00:00Z\n\n{GOOD.format(4)}bad\n'
    result = await imported(session, content)
    assert [error["line"] for error in result["errors"]] == [3, 8]
    assert counts(3, 1, 0, 2).items() <= result.items()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The file is empty. Its first line has to be reference,email,total_cents,currency,ordered_at."),
        ("\ufeff", "The file is empty."),
        ("\n", "'reference' is missing"),
        ("reference,email,total_cents,currency\n", "'ordered_at' is missing"),
        (HEADER.replace("\n", ",color\n"), "'color' is no column"),
        (HEADER.replace("\n", ",email\n"), "a column is there twice"),
        (HEADER.replace(",", ";"), "'reference;email;total_cents;currency;ordered_at' is no column"),
        (GOOD.format(1), "'reference' is missing"),
        ("x" * 20_000, "more than 10000 characters"),
        ('"reference', "it is no line of CSV: unexpected end of data"),
        ((HEADER + GOOD.format(1)).encode("utf-16"), "Line 1 holds a NUL byte"),
        ((HEADER + GOOD.format(1)).encode("utf-16-le"), "Line 1 holds a NUL byte"),
        ((HEADER + GOOD.format(1) + GOOD.format("é")).encode("latin-1"), "Line 3 is not in UTF-8"),
        (HEADER.encode() + b"\xc3", "Line 2 is not in UTF-8"),
        (HEADER + GOOD.format(1) + GOOD.format("\0"), "Line 3 holds a NUL byte"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "Line 3 holds a NUL byte"),
    ],
)
async def test_a_file_that_is_none_of_orders_is_refused_as_a_whole(
    session: AsyncSession, content: str | bytes, message: str
) -> None:
    with pytest.raises(FileRefusedError) as refused:
        await imported(session, content)
    assert message in str(refused.value)
    assert await references(session) == []
    assert not order_import.bad_rows_of(FILE).exists()


async def test_where_an_encoding_goes_wrong_is_found_across_blocks(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_import, "BLOCK", 7)
    assert (await imported(session, HEADER + GOOD.format("é") * 3))["imported"] == 1
    for wrong in (b"\xff", b"\xc3\n", b"\xe2\x82"):
        with pytest.raises(FileRefusedError, match="Line 4 is not"):
            await imported(session, (HEADER + GOOD.format("é") * 2).encode() + wrong)


async def test_a_header_alone_imports_nothing(session: AsyncSession) -> None:
    assert await imported(session, HEADER) == counts(0, 0, 0, 0) | {"errors": [], "report": None}


async def test_a_file_that_has_gone_is_told(session: AsyncSession) -> None:
    write("").unlink()
    with pytest.raises(NotFoundError, match="send it again"):
        await order_import.run(session, FILE, go_on)


@pytest.mark.parametrize("batch", [1, 2, 1000])
async def test_a_reference_counts_once(session: AsyncSession, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(order_import, "BATCH_ROWS", batch)
    await imported(session, HEADER + GOOD.format(1), OTHER)
    result = await imported(session, HEADER + "".join(GOOD.format(number) for number in (1, 2, 3, 2, 2)))
    assert counts(5, 2, 3, 0).items() <= result.items()
    assert await references(session) == ["1", "2", "3"]


async def test_an_import_that_is_started_again_ends_with_the_same_orders_and_result(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_import, "BATCH_ROWS", 2)
    await imported(session, HEADER + GOOD.format(1), OTHER)
    write(HEADER + "".join(GOOD.format(number) for number in (1, 2, 2, 3, 4, 5)) + "bad\n")

    for batches in (1, 2):
        with pytest.raises(MemoryError):
            await order_import.run(session, FILE, crash_after(batches))
    for _ in range(2):
        result = await order_import.run(session, FILE, go_on)
        assert counts(7, 4, 2, 1).items() <= result.items()
    assert await references(session) == ["1", "2", "3", "4", "5"]


async def test_an_import_that_is_told_to_stop_keeps_what_it_has(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_import, "BATCH_ROWS", 2)
    write(HEADER + "".join(GOOD.format(number) for number in range(9)))
    result = await order_import.run(session, FILE, lambda _read, _size: False)
    assert counts(2, 2, 0, 0).items() <= result.items()


async def test_it_is_told_how_far_it_is(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_import, "BATCH_ROWS", 500)
    size = write(HEADER + "".join(GOOD.format(number) for number in range(2000))).stat().st_size
    told: list[tuple[int, int]] = []

    def tell(read: int, size: int) -> bool:
        told.append((read, size))
        return True

    await order_import.run(session, FILE, tell)
    assert len(told) == 4
    assert told == sorted(told)
    assert told[-1] == (size, size)


async def test_of_many_bad_rows_the_first_hundred_are_told_and_all_are_in_the_report(session: AsyncSession) -> None:
    result = await imported(session, HEADER + "bad\n" * 2500)
    assert [error["line"] for error in result["errors"]] == list(range(2, 102))
    lines = order_import.bad_rows_of(FILE).read_text().splitlines()
    assert (len(lines), lines[-1]) == (2501, "2501,has 1 cells instead of 5,bad")


async def test_a_report_of_an_earlier_run_does_not_stay(session: AsyncSession) -> None:
    late = GOOD.format(1).replace("ada", "bob")
    await imported(session, HEADER + late)
    assert order_import.bad_rows_of(FILE).exists()
    async with session.begin():
        session.add(User(email="bob@example.org", name="Bob"))
    assert (await order_import.run(session, FILE, go_on))["imported"] == 1
    assert not order_import.bad_rows_of(FILE).exists()


@pytest.mark.parametrize(
    "long", ["x" * 30_000_000, '"' + "x" * 30_000_000, "x," * 15_000_000], ids=["line", "quoted", "cells"]
)
async def test_a_row_without_an_end_takes_no_memory(session: AsyncSession, long: str) -> None:
    write(HEADER + GOOD.format(1) + long + "\n" + GOOD.format(2))
    tracemalloc.start()
    try:
        (batch,) = order_import._read_batches(order_import.upload_of(FILE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(row.line, row.fault[:31]) for row in batch.rows] == [
        (2, ""),
        (3, "more than 10000 characters, up "),
        (4, ""),
    ]
    assert peak < 5_000_000


async def test_a_missing_quotation_mark_costs_the_rows_up_to_a_limit_not_the_rest_of_the_file(
    session: AsyncSession,
) -> None:
    content = HEADER + '"' + "".join(GOOD.format(number) for number in range(1000))
    result = await imported(session, content)
    (error,) = result["errors"]
    assert error["line"] == 2
    assert "is a quotation mark missing?" in error["message"]
    last = int(error["message"].split("up to line ")[1].split(";")[0])
    assert result["imported"] == 1001 - last


async def test_the_event_loop_goes_on_while_a_file_is_read(
    session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(HEADER + GOOD.format(1))
    loop, turned = asyncio.get_running_loop(), threading.Event()
    read = order_import._read_rows

    def wait_for_a_turn(text: object) -> Iterator[object]:
        loop.call_soon_threadsafe(turned.set)
        assert turned.wait(10)
        yield from read(text)  # type: ignore[arg-type]  # it is handed on

    monkeypatch.setattr(order_import, "_read_rows", wait_for_a_turn)
    assert (await order_import.run(session, FILE, go_on))["imported"] == 1
