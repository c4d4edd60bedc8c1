"""Small tasks, and what they are put together to."""

from typing import Any

import pytest
from celery.canvas import Signature
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.orders import Order
from app.models.users import User
from app.services.errors import NotFoundError
from app.tasks import workflows


class Replaced(Exception):  # noqa: N818 (no error)
    """A task has put this workflow in its own place."""


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BaseTask, "replace", lambda _self, workflow: Replaced(workflow))


def replaced(task: BaseTask[..., Any], **arguments: Any) -> Signature[Any]:
    with pytest.raises(Replaced) as error:
        task(**arguments)
    (workflow,) = error.value.args
    assert isinstance(workflow, Signature)
    return workflow


async def test_the_small_tasks_do_their_step(session: AsyncSession) -> None:
    async with session.begin():
        ada = User(email="ada@example.org", name="Ada")
        session.add(ada)
        await session.flush()
        order = Order(reference="A-1", user_id=ada.id, total_cents=1000, currency="EUR")
        session.add(order)
    assert workflows.net(order.id) == 1000
    assert workflows.same_currency(order_ids=[order.id]) == "EUR"
    assert workflows.discounted(1000, 10) == 900
    assert workflows.taxed(900, percent=20) == 1080
    assert workflows.total([1080, 20]) == 1100
    assert workflows.total([]) == 0


def test_an_order_that_is_not_there_is_an_error() -> None:
    with pytest.raises(NotFoundError):
        workflows.net(7)


@pytest.mark.parametrize(("cents", "percent"), [(-1, 10), (1000, 101), ("many", 10)])
def test_what_is_no_price_is_refused(cents: object, percent: int) -> None:
    with pytest.raises(ArgumentsError):
        workflows.discounted(cents, percent)


def test_a_chain_is_its_steps_in_their_order() -> None:
    assert [step.task for step in replaced(workflows.as_chain, order_id=1).tasks] == [  # type: ignore[attr-defined]  # not in celery-types
        "workflows.net",
        "workflows.discounted",
        "workflows.taxed",
    ]


@pytest.mark.parametrize("order_ids", [[], [1], [1, 2, 3]])
def test_a_group_has_a_part_for_each_order(order_ids: list[int]) -> None:
    parts = replaced(workflows.as_group, order_ids=order_ids).tasks  # type: ignore[attr-defined]  # not in celery-types
    assert [part.args for part in parts] == [(order_id,) for order_id in order_ids]


def test_chunks_are_of_the_size_that_was_asked_for() -> None:
    chunks = replaced(workflows.as_chunks, order_ids=[1, 2, 3], size=2).tasks  # type: ignore[attr-defined]  # not in celery-types
    assert [list(chunk.kwargs["it"]) for chunk in chunks] == [[(1,), (2,)], [(3,)]]


@pytest.mark.parametrize("task", [workflows.as_group, workflows.as_chord, workflows.as_map, workflows.nested])
@pytest.mark.parametrize("order_ids", [[0], ["A-1"], [1] * 1001, None])
def test_what_are_no_ids_is_refused(task: BaseTask[..., Any], order_ids: object) -> None:
    with pytest.raises(ArgumentsError, match="order_ids"):
        task(order_ids=order_ids)
