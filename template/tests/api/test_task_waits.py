"""Long polls: `GET /tasks/{task_id}?wait=SECONDS`."""

import asyncio
import time
import uuid
from typing import Any

import httpx2
import pytest
from redis import Redis

from app.core.celery import celery_app
from app.core.resources import UnavailableError
from app.core.task_keys import result_key
from app.core.task_queue import task_queue
from app.main import app
from tests.fixtures.celery import bearer

pytestmark = pytest.mark.usefixtures("redis_server")

TASKS = "/api/v1/tasks"
BACKEND: Any = celery_app.backend
LONG = 30
"""Seconds that no answer here takes."""


async def queue_task(client: httpx2.AsyncClient) -> str:
    queued = await client.post(f"{TASKS}/users.update_stats")
    task_id: str = queued.json()["task_id"]
    return task_id


async def store(task_id: str, state: str, result: Any = None) -> None:
    await asyncio.to_thread(BACKEND.store_result, task_id, result, state)


async def is_watched(results: Redis, task_id: str, *, watched: bool = True) -> None:
    async with asyncio.timeout(LONG):
        while await asyncio.to_thread(subscribers, results, task_id) != watched:  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.01)


def subscribers(results: Redis, task_id: str) -> int:
    ((_, number),) = results.pubsub_numsub(result_key(task_id))
    return int(number)


async def test_the_answer_comes_when_the_task_has_ended(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    asked = asyncio.create_task(shop.get(f"{TASKS}/{task_id}", params={"wait": LONG}))
    await is_watched(results, task_id)
    await store(task_id, "STARTED")
    await store(task_id, "SUCCESS", 7)
    answer = await asyncio.wait_for(asked, LONG / 2)
    assert (answer.status_code, answer.json()["status"], answer.json()["result"]) == (200, "SUCCESS", 7)
    await is_watched(results, task_id, watched=False)


@pytest.mark.parametrize("end", ["SUCCESS", "REVOKED"])
async def test_a_task_that_has_ended_is_not_waited_for(shop: httpx2.AsyncClient, results: Redis, end: str) -> None:
    task_id = await queue_task(shop)
    await store(task_id, end)
    answer = await asyncio.wait_for(shop.get(f"{TASKS}/{task_id}", params={"wait": LONG}), LONG / 2)
    assert answer.json()["status"] == end


async def test_cancelling_ends_the_wait(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    asked = asyncio.create_task(shop.get(f"{TASKS}/{task_id}", params={"wait": LONG}))
    await is_watched(results, task_id)
    await shop.delete(f"{TASKS}/{task_id}")
    assert (await asyncio.wait_for(asked, LONG / 2)).json()["status"] == "REVOKED"


async def test_when_the_time_is_over_the_answer_is_the_present_state(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    started = time.monotonic()
    asked = asyncio.create_task(shop.get(f"{TASKS}/{task_id}", params={"wait": 0.5}))
    await is_watched(results, task_id)
    await store(task_id, "STARTED")
    answer = await asked
    assert answer.json()["status"] == "STARTED"
    assert 0.5 <= time.monotonic() - started < LONG / 2


async def test_many_wait_for_one_task_and_each_gets_its_end(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    asked = [asyncio.create_task(shop.get(f"{TASKS}/{task_id}", params={"wait": LONG})) for _ in range(20)]
    await is_watched(results, task_id)
    assert subscribers(results, task_id) == 1
    await store(task_id, "SUCCESS")
    answers = await asyncio.wait_for(asyncio.gather(*asked), LONG / 2)
    assert [answer.json()["status"] for answer in answers] == ["SUCCESS"] * 20


@pytest.mark.parametrize("wait", ["0", "-1", "60.5", "nan", "inf", "-inf", "1e999", "soon", ""])
async def test_a_wait_out_of_range_is_refused(shop: httpx2.AsyncClient, wait: str) -> None:
    answer = await shop.get(f"{TASKS}/{await queue_task(shop)}", params={"wait": wait})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["query.wait"]


async def test_nobody_waits_for_an_unknown_task_or_that_of_another(client: httpx2.AsyncClient) -> None:
    queued = await client.post(f"{TASKS}/users.update_stats", headers=bearer("farm"))
    for task_id in (queued.json()["task_id"], str(uuid.uuid4())):
        path = f"{TASKS}/{task_id}?wait={LONG}"
        answer = await asyncio.wait_for(client.get(path, headers=bearer("shop")), LONG / 2)
        assert answer.status_code == 404


async def test_a_client_that_goes_away_ends_the_wait_and_leaves_nothing(
    shop: httpx2.AsyncClient, results: Redis
) -> None:
    task_id = await queue_task(shop)
    gone = asyncio.Event()
    before = asyncio.all_tasks()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": f"{TASKS}/{task_id}",
        "query_string": f"wait={LONG}".encode(),
        "headers": [(b"authorization", bearer("shop")["Authorization"].encode())],
    }
    asking = asyncio.create_task(app(scope, receive, send))
    await is_watched(results, task_id)
    gone.set()
    await asyncio.wait_for(asking, LONG / 2)
    await is_watched(results, task_id, watched=False)
    left = {task for task in asyncio.all_tasks() - before if task.get_name() != "task watch"}
    assert left <= {asyncio.current_task()}


async def test_the_end_of_watching_ends_waits_with_the_present_state(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    asked = asyncio.create_task(shop.get(f"{TASKS}/{task_id}", params={"wait": LONG}))
    await is_watched(results, task_id)
    task_queue.get().end_watching()
    answer = await asyncio.wait_for(asked, LONG / 2)
    assert (answer.status_code, answer.json()["status"]) == (200, "PENDING")


async def test_a_state_that_cannot_be_read_when_the_time_is_over_is_a_503(
    shop: httpx2.AsyncClient, results: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(_task_id: str) -> None:
        raise UnavailableError("away")

    task_id = await queue_task(shop)
    asked = asyncio.create_task(shop.get(f"{TASKS}/{task_id}", params={"wait": 0.5}))
    await is_watched(results, task_id)
    monkeypatch.setattr(task_queue.get(), "find", find)
    answer = await asked
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_the_wait_is_documented_with_its_range() -> None:
    parameters = app.openapi()["paths"][TASKS + "/{task_id}"]["get"]["parameters"]
    (wait,) = [parameter for parameter in parameters if parameter["name"] == "wait"]
    assert wait["schema"]["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0, "maximum": 60}
