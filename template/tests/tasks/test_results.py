"""Results of each kind."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.core.celery import celery_app
from app.core.task_arguments import ArgumentsError
from app.core.task_message import MessageBuilder, NewTask
from app.models.users import User
from app.services import order_exports
from app.services.errors import NotFoundError
from app.tasks import results


@pytest.fixture(autouse=True)
def _no_exports() -> Iterator[None]:
    yield
    stored_files.remove(stored_files.folder("exports"))


async def test_activity_is_noted(session: AsyncSession) -> None:
    async with session.begin():
        ada = User(email="ada@example.org", name="Ada")
        session.add(ada)
    results.note_activity(user_id=ada.id)
    await session.refresh(ada)
    assert ada.last_activity


def test_the_activity_of_nobody_is_an_error() -> None:
    with pytest.raises(NotFoundError):
        results.note_activity(user_id=7)


@pytest.mark.parametrize(("texts", "words"), [([], 0), ([""], 0), (["to be", " or\nnot "], 4)])
def test_words_are_counted(texts: list[str], words: int) -> None:
    assert results.count_words(texts=texts) == words


def test_the_average_of_nothing_is_refused() -> None:
    assert results.average(numbers=[1, 2, 6]) == 3
    with pytest.raises(ArgumentsError, match="numbers"):
        results.average(numbers=[])


def test_a_number_that_messagepack_cannot_hold_is_refused() -> None:
    with pytest.raises(ArgumentsError, match="numbers"):
        results.average(numbers=[2**63])


def message(task: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    return MessageBuilder(celery_app).task(NewTask(task, arguments)).message


def test_a_message_is_compressed() -> None:
    sent = message(results.count_words, {"texts": ["to be or not to be"] * 1000})
    assert sent["headers"]["compression"] == "application/x-gzip"
    assert len(sent["body"]) < 2000


def test_a_message_is_messagepack() -> None:
    sent = message(results.average, {"numbers": [1, 2]})
    assert sent["content-type"] == "application/x-msgpack"
    assert sorted(celery_app.conf.accept_content) == ["json", "msgpack"]  # and no pickle


def test_an_export_is_where_its_result_says() -> None:
    exported = results.export_orders()
    assert exported["rows"] == 0
    assert order_exports.find(UUID(exported["link"].rpartition("/")[2])).exists()


def test_no_orders_are_an_empty_list() -> None:
    assert results.list_orders() == []
