"""Tasks listed, and those that failed queued anew."""

import asyncio
import base64
import json
from typing import Any

import httpx2
import pytest
from celery.app.task import Context
from redis import Redis

from app.core.celery import celery_app
from app.core.task_keys import RECORD_SECONDS, list_key, record_key
from tests.fixtures.celery import bearer

pytestmark = pytest.mark.usefixtures("redis_server")

TASKS = "/api/v1/tasks"


async def queue(client: httpx2.AsyncClient, task: str = "users.update_stats", **arguments: Any) -> str:
    """Its id."""
    return str((await client.post(f"{TASKS}/{task}", json=arguments)).json()["task_id"])


async def listed(client: httpx2.AsyncClient, **filters: Any) -> list[str]:
    return [task["task_id"] for task in (await client.get(TASKS, params=filters)).json()["tasks"]]


def fail(task_id: str, **arguments: Any) -> None:
    """As a worker does."""
    request = Context(id=task_id, args=[], kwargs=arguments)
    celery_app.backend.mark_as_failure(task_id, ValueError("no"), request=request)


async def test_the_newest_come_first(shop: httpx2.AsyncClient) -> None:
    ids = [await queue(shop) for _ in range(3)]
    assert await listed(shop) == ids[::-1]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_page_by_page_each_task_is_seen_once_while_others_come(shop: httpx2.AsyncClient, limit: int) -> None:
    ids = [await queue(shop) for _ in range(5)]
    seen: list[str] = []
    cursor = None
    while page := (await shop.get(TASKS, params={"limit": limit} | ({"cursor": cursor} if cursor else {}))).json():
        seen += [task["task_id"] for task in page["tasks"]]
        await queue(shop)
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ids[::-1]


async def test_tasks_of_the_same_moment_are_told_apart(shop: httpx2.AsyncClient, broker: Redis) -> None:
    ids = [await queue(shop) for _ in range(4)]
    for task_id in ids:
        broker.zadd(list_key("recent", "shop"), {task_id: 7})
    first = (await shop.get(TASKS, params={"limit": 2})).json()
    second = (await shop.get(TASKS, params={"limit": 2, "cursor": first["next"]})).json()
    assert sorted(task["task_id"] for task in first["tasks"] + second["tasks"]) == sorted(ids)


async def test_they_are_listed_by_status_and_name(shop: httpx2.AsyncClient) -> None:
    waiting, report, failed, cancelled, done = [
        await queue(shop, name) for name in ("users.update_stats", "reports.activity", *["users.update_stats"] * 3)
    ]
    fail(failed)
    await shop.delete(f"{TASKS}/{cancelled}")
    celery_app.backend.mark_as_done(done, 7)
    assert await listed(shop, status="PENDING") == [report, waiting]
    assert await listed(shop, status="FAILURE") == [failed]
    assert await listed(shop, status="REVOKED") == [cancelled]
    assert await listed(shop, status="SUCCESS") == [done]
    assert await listed(shop, status="STARTED") == []
    assert await listed(shop, name="reports.activity") == [report]
    assert await listed(shop, name="reports.activity", status="FAILURE") == []
    assert await listed(shop, name="no.task") == []


async def test_a_page_looks_at_a_bounded_number_of_tasks(
    shop: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.task_list.ROUND", 2)
    monkeypatch.setattr("app.core.task_list.MOST_ROUNDS", 2)
    report = await queue(shop, "reports.activity")
    for _ in range(5):
        await queue(shop)
    first = (await shop.get(TASKS, params={"name": "reports.activity"})).json()
    assert first["tasks"] == []
    assert first["next"]
    assert await listed(shop, name="reports.activity", cursor=first["next"]) == [report]


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"status": "DONE"}, "query.status"),
        ({"limit": "0"}, "query.limit"),
        ({"limit": "101"}, "query.limit"),
        ({"cursor": "nonsense"}, "query.cursor"),
        ({"cursor": "é"}, "query.cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"nan x").decode()}, "query.cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"inf x").decode()}, "query.cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"7").decode()}, "query.cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"7 a b").decode()}, "query.cursor"),
        ({"cursor": "a" * 201}, "query.cursor"),
        ({"name": "a" * 201}, "query.name"),
    ],
)
async def test_filters_that_do_not_fit_are_refused(
    shop: httpx2.AsyncClient, filters: dict[str, str], field: str
) -> None:
    answer = await shop.get(TASKS, params=filters)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_failure_is_kept_for_longer_than_a_success(shop: httpx2.AsyncClient, results: Redis) -> None:
    failed, done = await queue(shop), await queue(shop)
    fail(failed)
    celery_app.backend.mark_as_done(done, 7)
    assert results.ttl(f"celery-task-meta-{done}") <= 86_400
    assert results.ttl(f"celery-task-meta-{failed}") > RECORD_SECONDS - 60


async def test_a_task_that_failed_is_queued_anew_with_its_arguments(shop: httpx2.AsyncClient, broker: Redis) -> None:
    failed = await queue(shop, day="2026-05-04")
    fail(failed, day="2026-05-04")
    answer = await shop.post(f"{TASKS}/{failed}/replay")
    assert answer.status_code == 202
    new = answer.json()["task_id"]
    assert answer.json() == {"task_id": new, "name": "users.update_stats", "status": "PENDING"}
    assert new != failed
    assert (await shop.get(answer.headers["Location"])).json()["status"] == "PENDING"
    assert (await shop.get(f"{TASKS}/{failed}")).json()["replayed_as"] == new
    assert await listed(shop, status="FAILURE") == []
    messages = [broker.hget(record_key(task_id), "message") for task_id in (failed, new)]
    assert len({json.loads(text)["body"] for text in messages if text}) == 1


async def test_replays_at_the_same_time_queue_one_task(shop: httpx2.AsyncClient, broker: Redis) -> None:
    failed = await queue(shop)
    fail(failed)
    answers = await asyncio.gather(*(shop.post(f"{TASKS}/{failed}/replay") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert broker.zcard(list_key("recent", "shop")) == 2


async def test_what_admin_replays_stays_its_owners(shop: httpx2.AsyncClient) -> None:
    failed = await queue(shop)
    fail(failed)
    answer = await shop.post(f"{TASKS}/{failed}/replay", headers=bearer("admin"))
    assert (await shop.get(answer.headers["Location"])).status_code == 200


@pytest.mark.parametrize("end", [lambda _: None, lambda task_id: celery_app.backend.mark_as_done(task_id, 7)])
async def test_what_has_not_failed_is_not_replayed(shop: httpx2.AsyncClient, broker: Redis, end: Any) -> None:
    task_id = await queue(shop)
    end(task_id)
    answer = await shop.post(f"{TASKS}/{task_id}/replay")
    assert answer.status_code == 409
    assert "did not fail" in answer.json()["detail"]
    assert broker.zcard(list_key("recent")) == 1


async def test_a_failure_without_arguments_is_not_replayed(shop: httpx2.AsyncClient) -> None:
    task_id = await queue(shop)
    celery_app.backend.mark_as_failure(task_id, ValueError("no"))
    answer = await shop.post(f"{TASKS}/{task_id}/replay")
    assert answer.status_code == 409
    assert "are not known" in answer.json()["detail"]
