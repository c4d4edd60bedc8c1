"""The report of a month from request to download and message, with a real worker."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.core.database import get_engine
from app.models.orders import Order
from app.models.users import User
from tests.fixtures.examples import MailServer
from tests.fixtures.worker import TASKS, outcome, run_task, until

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def _no_reports() -> Iterator[None]:
    stored_files.remove(stored_files.folder("reports"))
    yield
    stored_files.remove(stored_files.folder("reports"))


@pytest.fixture
async def without_payments(client: httpx2.AsyncClient) -> AsyncIterator[None]:
    """The table is not there."""
    async with get_engine().begin() as connection:
        await connection.execute(text("ALTER TABLE payments RENAME TO away"))
    yield
    async with get_engine().begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO payments"))


async def test_a_report_is_counted_written_and_told_of(
    shop: httpx2.AsyncClient, session: AsyncSession, mail_server: MailServer
) -> None:
    async with session.begin():
        session.add(user := User(email="ada@example.org", name="Ada"))
        await session.flush()
        session.add(Order(reference="1", user_id=user.id, total_cents=1999, currency="EUR"))
        month = f"{user.created_at:%Y-%m}"
    task = await run_task(shop, "reports.monthly", {"month": month, "mail_to": "boss@example.org"})
    assert task["status"] == "SUCCESS", task
    assert task["name"] == "reports.monthly"
    assert (task["progress"]["current"], task["progress"]["total"]) == (4, 4)
    assert (await shop.get(task["result"]["pdf"])).content.startswith(b"%PDF-")
    lines = (await shop.get(task["result"]["csv"])).text.splitlines()
    assert lines[1:3] == ["new users,,1,", "orders,EUR,1,19.99"]

    async def mailed() -> bool:
        return bool(mail_server.inbox)

    await until(mailed)
    (message,) = mail_server.inbox
    assert message["To"] == "boss@example.org"
    assert f"http://service.example.org{task['result']['pdf']}" in message.get_content()


async def test_a_part_that_fails_is_named_by_the_whole(shop: httpx2.AsyncClient, without_payments: None) -> None:
    task = await run_task(shop, "reports.monthly", {"month": "2026-10"})
    assert task["status"] == "FAILURE"
    assert "reports.payments_by_status failed" in task["error"]["message"]
    assert (await shop.get("/api/v1/reports/2026-10.csv")).status_code == 404


async def test_a_report_is_written_while_the_mail_server_is_away_and_mailed_when_it_is_back(
    shop: httpx2.AsyncClient, request: pytest.FixtureRequest
) -> None:
    task = await run_task(shop, "reports.monthly", {"month": "2026-10"})
    assert task["status"] == "SUCCESS", task
    assert (await shop.get(task["result"]["csv"])).status_code == 200

    async def mail_task() -> Any:
        found = (await shop.get(TASKS, params={"name": "reports.mail"})).json()["tasks"]
        return [one for one in found if one["status"] == "RETRY"]

    (waiting,) = await until(mail_task)
    mail_server: MailServer = request.getfixturevalue("mail_server")
    assert (await outcome(shop, f"{TASKS}/{waiting['task_id']}"))["status"] == "SUCCESS"
    assert len(mail_server.inbox) == 1
