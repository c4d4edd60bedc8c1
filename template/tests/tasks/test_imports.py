"""Files of rows that become rows of the database."""

from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.orders import Order
from app.models.users import User
from app.services import order_import
from app.services.errors import NotFoundError
from app.tasks import imports

HEADER = "reference,email,total_cents,currency,ordered_at\n"


@pytest.fixture
async def file(session: AsyncSession) -> str:
    """Of two good rows and a bad one."""
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada"))
    file = uuid4()
    rows = [
        f"{number},{name}@example.org,5,EUR,2026-10-01T12:00:00Z\n" for number, name in enumerate(("ada", "bob", "ada"))
    ]
    order_import.upload_of(file).write_text(HEADER + "".join(rows))
    return str(file)


async def test_orders_imports_a_file_and_links_to_its_bad_rows(file: str, session: AsyncSession) -> None:
    assert imports.orders(file=file) == {
        "rows": 3,
        "imported": 2,
        "duplicates": 0,
        "bad": 1,
        "errors": [{"line": 3, "message": "email: there is no such user"}],
        "report": f"/api/v1/imports/{file}/bad-rows",
    }
    assert await session.scalar(select(func.count()).select_from(Order)) == 2


async def test_orders_tells_how_far_it_is(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        BaseTask, "report_progress", lambda _self, current, total, _message: told.append((current, total))
    )
    imports.orders(file=file)
    assert len(told) == 1
    assert told[0][0] == told[0][1] > len(HEADER)


async def test_orders_stops_where_it_was_cancelled(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_import, "BATCH_ROWS", 1)
    monkeypatch.setattr(BaseTask, "is_aborted", lambda _self: True)
    assert imports.orders(file=file)["rows"] == 1


def test_orders_fails_where_the_file_has_gone() -> None:
    with pytest.raises(NotFoundError, match="send it again"):
        imports.orders(file=str(uuid4()))


@pytest.mark.parametrize("file", ["../../service.db", "", 7])
def test_orders_refuses_what_is_no_id(file: object) -> None:
    with pytest.raises(ArgumentsError, match="file"):
        imports.orders(file=file)
