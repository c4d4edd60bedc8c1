"""The report of a month, counted in parts."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import time_machine
from celery.exceptions import Retry
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.core.mail import MailRefusedError
from app.core.resources import UnavailableError
from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.users import User
from app.services import monthly_report
from app.services.errors import NotFoundError
from app.services.monthly_report import Figures
from app.tasks import monthly_reports
from tests.fixtures.examples import MailServer

NOTHING = Figures(0, {}, {})
MAILED = {"month": "2026-10", "mail_to": None}


class Replaced(Exception):  # noqa: N818 (no error)
    """A task has put this workflow in its own place."""


@pytest.fixture(autouse=True)
def _no_reports() -> Iterator[None]:
    yield
    stored_files.remove(stored_files.folder("reports"))


@pytest.fixture(autouse=True)
def queued(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The tasks that others would have queued."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(BaseTask, "replace", lambda _self, workflow: Replaced(workflow))
    monkeypatch.setattr(
        BaseTask, "apply_async", lambda self, *_, **options: calls.append({"task": self.name} | options)
    )
    return calls


def workflow_of(**arguments: Any) -> Any:
    with pytest.raises(Replaced) as replaced:
        monthly_reports.monthly(**arguments)
    return replaced.value.args[0]


async def test_the_parts_are_counted_and_the_body_writes_them(
    session: AsyncSession, queued: list[dict[str, Any]]
) -> None:
    async with session.begin():
        session.add(User(email="ada@example.org", name="Ada", created_at=datetime(2026, 10, 5, tzinfo=UTC)))
    workflow = workflow_of(month="2026-10", mail_to="boss@example.org")
    figures = json.loads(json.dumps([part.type(**part.kwargs) for part in workflow.tasks]))
    assert figures == [1, {}, {"pending": 0, "paid": 0, "declined": 0, "failed": 0}]
    links = workflow.body.type(figures, **workflow.body.kwargs)
    assert links == {"pdf": "/api/v1/reports/2026-10.pdf", "csv": "/api/v1/reports/2026-10.csv"}
    assert "new users,,1" in monthly_report.find("2026-10", "csv").read_text()
    mail = {"task": "reports.mail", "kwargs": {"month": "2026-10", "mail_to": "boss@example.org"}, "task_id": None}
    assert queued == [mail]


@time_machine.travel("2026-11-21", tick=False)
def test_the_last_month_is_taken_by_default() -> None:
    assert {part.kwargs["month"] for part in workflow_of().tasks} == {"2026-10"}


@pytest.mark.parametrize(
    ("name", "value"), [("month", "2026-12"), ("month", "October"), ("month", 202610), ("mail_to", "nobody")]
)
@time_machine.travel("2026-11-21", tick=False)
def test_what_is_no_month_or_no_address_is_refused(name: str, value: object) -> None:
    with pytest.raises(ArgumentsError, match=name):
        monthly_reports.monthly(**{name: value})


def test_figures_that_are_none_are_refused_and_nothing_is_written() -> None:
    with pytest.raises(ArgumentsError, match="figures"):
        monthly_reports.write([1, {"EUR": {}}, {}], month="2026-10", mail_to=None)
    with pytest.raises(NotFoundError):
        monthly_report.find("2026-10", "csv")


@pytest.mark.parametrize("part", ["new_users", "orders_by_currency", "payments_by_status"])
def test_a_part_that_fails_names_itself(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    async def fail(_session: AsyncSession, _month: str) -> None:
        raise OperationalError("SELECT secret", {}, Exception("no such table"))

    monkeypatch.setattr(monthly_report, part, fail)
    with pytest.raises(monthly_reports.CountingError, match=rf"^reports\.{part} failed: OperationalError$"):
        getattr(monthly_reports, part)(month="2026-10")


def test_a_part_is_tried_again_when_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_session: AsyncSession, _month: str) -> None:
        raise UnavailableError("The database is not available; try again soon.")

    monkeypatch.setattr(monthly_report, "new_users", fail)
    with pytest.raises(UnavailableError):  # called as a function there is no task to try again, so it goes through
        monthly_reports.new_users(month="2026-10")


def test_the_body_queues_one_message_however_often_it_runs(queued: list[dict[str, Any]]) -> None:
    monthly_reports.write.push_request(id="0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10")
    try:
        monthly_reports.write.run(NOTHING, month="2026-10", mail_to=None)
        monthly_reports.write.run(NOTHING, month="2026-10", mail_to=None)
    finally:
        monthly_reports.write.pop_request()
    first, second = queued
    assert first == second
    assert UUID(first["task_id"]) != UUID("0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10")


def test_the_message_is_sent(mail_server: MailServer) -> None:
    monthly_reports.mail(**MAILED)
    (message,) = mail_server.inbox
    assert message["Subject"] == "Report of 2026-10"


def test_the_message_is_tried_again_when_the_mail_server_is_away(queued: list[dict[str, Any]]) -> None:
    monthly_reports.mail.push_request(id="0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10", called_directly=False)
    try:
        with pytest.raises(Retry):
            monthly_reports.mail.run(**MAILED)
    finally:
        monthly_reports.mail.pop_request()
    assert [(one["task"], one["retries"]) for one in queued] == [("reports.mail", 1)]


def test_a_message_that_is_refused_is_not_tried_again(mail_server: MailServer) -> None:
    mail_server.refusals["service@example.org"] = "550 no such mailbox"
    with pytest.raises(MailRefusedError):
        monthly_reports.mail(**MAILED)
