"""All orders in one file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.models.orders import Order
from app.models.users import User
from app.services import order_exports
from app.services.errors import NotFoundError


@pytest.fixture(autouse=True)
def place() -> Iterator[Path]:
    """Where exports are kept; there are none."""
    yield stored_files.folder("exports")
    stored_files.remove(stored_files.folder("exports"))


def kept(place: Path) -> list[str]:
    return [path.name for path in place.iterdir()]


async def add_orders(session: AsyncSession, *references: str) -> None:
    async with session.begin():
        ada = User(email="ada@example.org", name="Ada")
        session.add(ada)
        await session.flush()
        for reference in references:
            session.add(Order(reference=reference, user_id=ada.id, total_cents=1000, currency="EUR"))


async def test_a_file_has_a_line_for_each_order(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_exports, "BATCH", 2)
    await add_orders(session, "A-1", 'Größe "7", blau', "A-3")
    export_id = uuid4()
    assert await order_exports.write(session, export_id) == 3
    assert order_exports.find(export_id).read_text("utf-8").splitlines() == [
        "reference,total_cents,currency,status",
        "A-1,1000,EUR,open",
        '"Größe ""7"", blau",1000,EUR,open',
        "A-3,1000,EUR,open",
    ]


async def test_no_orders_are_a_file_without_rows(session: AsyncSession) -> None:
    export_id = uuid4()
    assert await order_exports.write(session, export_id) == 0
    assert order_exports.find(export_id).read_text() == "reference,total_cents,currency,status\n"


async def test_what_breaks_off_leaves_nothing_and_is_whole_the_next_time(
    session: AsyncSession, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_orders(session, "A-1", "A-2")
    export_id = uuid4()

    def fail(_path: Path, _mode: str, _rows: Sequence[Sequence[Any]]) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(order_exports, "_write", fail)
        with pytest.raises(OSError, match="no space"):
            await order_exports.write(session, export_id)
    assert kept(place) == []
    assert await order_exports.write(session, export_id) == 2
    assert kept(place) == [f"{export_id}.csv"]


async def test_a_file_that_has_gone_is_not_found(session: AsyncSession) -> None:
    export_id = uuid4()
    with pytest.raises(NotFoundError, match=str(export_id)):
        order_exports.find(export_id)


async def test_references_are_a_list_while_they_are_few(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_orders(session, "A-1", "A-2")
    assert await order_exports.references(session) == ["A-1", "A-2"]
    monkeypatch.setattr(order_exports, "MOST_REFERENCES", 1)
    with pytest.raises(ValueError, match=r"take results\.by_reference"):
        await order_exports.references(session)
