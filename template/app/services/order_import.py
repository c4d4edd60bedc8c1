"""Orders from a CSV file: checked row by row, written in batches, in memory that does not grow with the file."""

import asyncio
import codecs
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.models.orders import Order
from app.models.users import User
from app.schemas.order_import import BadRow, ImportResult, OrderRow
from app.services.errors import NotFoundError

BATCH_ROWS = 1000
ROW_LIMIT = 10_000
"""Characters; a row without an end is not read into memory."""
SHOWN_ERRORS = 100
BLOCK = 1 << 20

COLUMNS = list(OrderRow.__annotations__)
_check_row = TypeAdapter(OrderRow).validator.validate_python
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class FileRefusedError(Exception):
    """Nothing was imported; the message says what is wrong with the file."""


@dataclass(slots=True)
class Row:
    line: int
    cells: list[str]
    order: dict[str, Any] | None = None
    fault: str = ""


class Batch(NamedTuple):
    rows: list[Row]
    read: int
    """Bytes of the file up to here."""


def upload_of(file: UUID) -> Path:
    return stored_files.folder("imports") / f"{file}.csv"


def bad_rows_of(file: UUID) -> Path:
    return stored_files.folder("imports") / f"{file}.bad.csv"


async def run(session: AsyncSession, file: UUID, tell: Callable[[int, int], bool]) -> ImportResult:
    """Import it, a transaction for each batch; run again, it ends with the same orders and the same result.

    `tell` is told how many bytes of how many are read, and ends it by False. NotFoundError where the file has gone,
    FileRefusedError where it is not what it should be.
    """
    source, report = upload_of(file), bad_rows_of(file)
    size = await asyncio.to_thread(_check_text, source)
    rows, bad, errors = 0, 0, list[BadRow]()
    # reading is work for the processor: on a thread, so that the event loop goes on
    with stored_files.written_whole(report) as part, part.open("w", encoding="utf-8", newline="") as all_bad:
        bad_rows = csv.writer(all_bad)
        bad_rows.writerow(["line", "message", *COLUMNS])
        batches = _read_batches(source)
        while batch := await asyncio.to_thread(next, batches, None):
            async with session.begin():
                await _write(session, file, batch.rows)
            faulty = [row for row in batch.rows if row.fault]
            bad_rows.writerows([row.line, row.fault, *row.cells] for row in faulty)
            errors += [BadRow(line=row.line, message=row.fault) for row in faulty[: SHOWN_ERRORS - len(errors)]]
            rows, bad = rows + len(batch.rows), bad + len(faulty)
            if not tell(batch.read, size):
                break
    if not bad:
        report.unlink()
    async with session.begin():
        imported = await session.scalar(select(func.count()).where(Order.imported_from == str(file))) or 0
    return ImportResult(
        rows=rows, imported=imported, duplicates=rows - bad - imported, bad=bad, errors=errors, report=None
    )


async def _write(session: AsyncSession, file: UUID, rows: Sequence[Row]) -> None:
    emails = {row.order["email"] for row in rows if row.order}
    found = await session.execute(select(User.email, User.id).where(User.email.in_(emails)))
    users, imported_from, orders = dict(found.all()), str(file), list[dict[str, Any]]()
    for row in rows:
        if row.order:
            user_id = users.get(row.order.pop("email"))
            if user_id is None:
                row.fault = "email: there is no such user"
            else:
                orders.append({**row.order, "user_id": user_id, "imported_from": imported_from})
    if orders:
        connection = await session.connection()
        insert = _INSERT[connection.dialect.name](Order).on_conflict_do_nothing(index_elements=["reference"])
        await connection.execute(insert, orders)


def _check_text(path: Path) -> int:
    """How many bytes of text in UTF-8 it is."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError("The file is not there any more; send it again.") from None
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with file:
        while True:
            block = file.read(BLOCK)
            if b"\0" in block:
                line += block[: block.index(b"\0")].count(b"\n")
                raise FileRefusedError(f"Line {line} holds a NUL byte. Save the file as CSV in UTF-8.")
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                raise FileRefusedError(f"Line {line} is not in UTF-8. Save the file as CSV in UTF-8.") from None
            if not block:
                return file.tell()
            line += block.count(b"\n")


class _Lines:
    """The lines of a file, for csv, which would put together a row of any length."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.number = 0
        self.left = ROW_LIMIT

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self.left)
        if not line:
            raise StopIteration
        self.number += 1
        self.left -= len(line)
        if self.left == 0:
            while line and not line.endswith("\n"):
                line = self._text.readline(ROW_LIMIT)
            raise csv.Error(f"more than {ROW_LIMIT} characters, up to line {self.number}; is a quotation mark missing?")
        return line


def _read_batches(path: Path) -> Iterator[Batch]:
    with path.open("rb") as file, TextIOWrapper(file, "utf-8-sig", newline="\n") as text:
        rows = _read_rows(text)
        while batch := list(islice(rows, BATCH_ROWS)):
            yield Batch(batch, file.tell())


def _read_rows(text: TextIO) -> Iterator[Row]:
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    header = _read_header(reader)
    while True:
        first, lines.left = lines.number + 1, ROW_LIMIT
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(first, [], fault=str(error))
            continue
        if not cells:  # an empty line
            continue
        if len(cells) != len(header):
            yield Row(first, cells, fault=f"has {len(cells)} cells instead of {len(header)}")
            continue
        try:
            yield Row(first, cells, order=_check_row(dict(zip(header, cells, strict=True))))
        except ValidationError as error:
            faults = (f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors())
            yield Row(first, cells, fault="; ".join(faults))


def _read_header(reader: Iterator[list[str]]) -> list[str]:
    expected = f"Its first line has to be {','.join(COLUMNS)}"
    try:
        header = next(reader)
    except StopIteration:
        raise FileRefusedError(f"The file is empty. {expected}.") from None
    except csv.Error as error:
        raise FileRefusedError(f"{expected}; it is no line of CSV: {error}.") from None
    if sorted(header) != sorted(COLUMNS):
        faults = [f"{name!r} is missing" for name in COLUMNS if name not in header]
        faults += [f"{name[:50]!r} is no column" for name in header if name not in COLUMNS][:5]
        raise FileRefusedError(f"{expected}, in any order; {'; '.join(faults) or 'a column is there twice'}.")
    return header
