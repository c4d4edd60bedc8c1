"""Results of each kind over REST, with a real worker."""

import asyncio
import base64
import pickle
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_base import BaseTask
from app.core.task_delivery import Deliveries
from app.core.task_message import NewTask
from app.core.task_queue import task_queue
from app.models.orders import Order
from app.models.users import User
from app.tasks import results
from tests.fixtures.redis import database_url
from tests.fixtures.worker import TASKS, outcome, run_task, until

pytestmark = pytest.mark.usefixtures("worker")


async def add_user(session: AsyncSession) -> User:
    async with session.begin():
        ada = User(email="ada@example.org", name="Ada")
        session.add(ada)
    return ada


async def test_an_ignored_result_is_not_kept_but_the_end_is_seen(
    shop: httpx2.AsyncClient, session: AsyncSession
) -> None:
    ada = await add_user(session)
    task = await run_task(shop, "results.ignored", {"user_id": ada.id})
    assert (task["status"], task["result"]) == ("SUCCESS", None)
    await session.refresh(ada)
    assert ada.last_activity


async def test_the_failure_of_an_ignored_result_is_kept(shop: httpx2.AsyncClient) -> None:
    task = await run_task(shop, "results.ignored", {"user_id": 7})
    assert (task["status"], task["error"]["message"]) == ("FAILURE", "There is no user 7.")


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("results.compressed", {"texts": ["to be or not to be"] * 40_000}, 240_000),
        ("results.msgpack", {"numbers": [1, 2, 2**40]}, (3 + 2**40) / 3),
    ],
)
async def test_what_is_compressed_or_binary_is_a_task_like_any_other(
    shop: httpx2.AsyncClient, name: str, arguments: dict[str, Any], result: float
) -> None:
    task = await run_task(shop, name, arguments)
    assert (task["status"], task["result"]) == ("SUCCESS", result)
    listed = (await shop.get(TASKS, params={"name": name})).json()["tasks"]
    assert task["task_id"] in [one["task_id"] for one in listed]


@pytest.mark.parametrize(("task", "wrong"), [(results.count_words, {"texts": [7]}), (results.average, {"numbers": []})])
async def test_one_that_failed_is_replayed_with_its_arguments(
    shop: httpx2.AsyncClient, task: BaseTask[..., Any], wrong: dict[str, Any]
) -> None:
    failed = await outcome(shop, f"{TASKS}/{await task_queue.get().enqueue(NewTask(task, wrong, owner='shop'))}")
    replayed = await shop.post(f"{TASKS}/{failed['task_id']}/replay")
    again = await outcome(shop, replayed.headers["Location"])
    assert failed["error"]["type"] == "ArgumentsError"
    assert again["error"] == failed["error"]


class Touch:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


async def test_pickle_is_refused(shop: httpx2.AsyncClient, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    message = {
        "body": base64.b64encode(pickle.dumps([[Touch(touched)], {}, {}])).decode(),
        "content-type": "application/x-python-serialize",
        "content-encoding": "binary",
        "headers": {"task": "system.heartbeat", "id": str(uuid4())},
        "properties": {
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "body_encoding": "base64",
        },
    }
    with Redis.from_url(database_url(14)) as broker:
        Deliveries(broker).push("default", message, {"name": "system.heartbeat"})
        assert (await run_task(shop, "system.check"))["status"] == "SUCCESS"

        async def is_dropped() -> bool:
            return not broker.llen("default") and not broker.hlen("unacked")

        await until(is_dropped)
    assert not await asyncio.to_thread(touched.exists)


async def test_a_large_result_is_a_link(shop: httpx2.AsyncClient, session: AsyncSession) -> None:
    ada = await add_user(session)
    async with session.begin():
        session.add_all(
            Order(reference=f"A-{number}", user_id=ada.id, total_cents=number, currency="EUR") for number in range(1001)
        )
    too_many = await run_task(shop, "results.by_value")
    assert too_many["error"]["message"] == "There are more than 1000 orders; take results.by_reference."
    task = await run_task(shop, "results.by_reference")
    assert task["result"]["rows"] == 1001
    file = await shop.get(task["result"]["link"])
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert file.text.splitlines()[:2] == ["reference,total_cents,currency,status", "A-0,0,EUR,open"]
    assert len(file.text.splitlines()) == 1002
