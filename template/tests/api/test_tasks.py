"""Tasks over HTTP."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from redis import Redis

from app.core.celery import celery_app
from app.core.redis import open_redis
from app.core.task_keys import result_key
from app.core.task_publishers import RedisPublisher
from app.core.task_queue import TaskQueue, task_queue
from app.main import app
from app.tasks import exposed_tasks

pytestmark = pytest.mark.usefixtures("redis_server")

TASKS = "/api/v1/tasks"


def arguments(document: dict[str, Any], task: str) -> dict[str, Any]:
    """The schema of a task's body."""
    body = document["paths"][f"{TASKS}/{task}"]["post"]["requestBody"]
    (name,) = [part["$ref"].rsplit("/", 1)[1] for part in references(body["content"]["application/json"]["schema"])]
    schema: dict[str, Any] = document["components"]["schemas"][name]
    return schema


def references(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in [schema, *schema.get("allOf", []), *schema.get("anyOf", [])] if "$ref" in part]


def test_each_task_that_is_exposed_is_documented_with_its_arguments() -> None:
    document = app.openapi()
    for task in exposed_tasks():
        assert set(arguments(document, task.name)["properties"]) == set(task.arguments.model.model_fields)
    days = arguments(document, "reports.activity")["properties"]["days"]
    assert (days["type"], days["minimum"], days["maximum"], days["default"]) == ("integer", 1, 366, 30)


def test_no_other_task_is_documented() -> None:
    paths = app.openapi()["paths"]
    documented = {path.removeprefix(f"{TASKS}/") for path in paths if "post" in paths[path] and path.startswith(TASKS)}
    assert documented == {task.name for task in exposed_tasks()} | {"{task_id}/replay"}
    assert "users.cleanup" not in documented


async def test_a_queued_task_can_be_read_at_its_location(shop: httpx2.AsyncClient, broker: Redis) -> None:
    queued = await shop.post(f"{TASKS}/reports.activity", json={"days": 7})
    assert queued.status_code == 202
    assert queued.json() == {"task_id": queued.json()["task_id"], "name": "reports.activity", "status": "PENDING"}
    read = await shop.get(queued.headers["Location"])
    assert read.status_code == 200
    assert read.json()["task_id"] == queued.json()["task_id"]
    assert (read.json()["status"], read.json()["name"]) == ("PENDING", "reports.activity")
    (waiting,) = [message for key in broker.keys("low_priority*") for message in broker.lrange(key, 0, -1)]
    assert json.loads(base64.b64decode(json.loads(waiting)["body"]))[1] == {"days": 7}


@pytest.mark.parametrize("content", [b"", b"{}"])
async def test_a_task_that_needs_no_arguments_needs_no_body(shop: httpx2.AsyncClient, content: bytes) -> None:
    answer = await shop.post(f"{TASKS}/reports.activity", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("task", "body", "field"),
    [
        ("reports.activity", {"days": 0}, "body.days"),
        ("reports.activity", {"days": "many"}, "body.days"),
        ("reports.activity", {"weeks": 1}, "body.weeks"),
        ("users.update_stats", {"day": "someday"}, "body.day"),
        ("users.update_stats", {"session": 1}, "body.session"),
        ("users.update_stats", [], "body"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_and_nothing_is_queued(
    shop: httpx2.AsyncClient, broker: Redis, task: str, body: object, field: str
) -> None:
    answer = await shop.post(f"{TASKS}/{task}", json=body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert broker.keys("*") == []


async def test_a_body_that_is_no_json_is_refused(shop: httpx2.AsyncClient, broker: Redis) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await shop.post(f"{TASKS}/reports.activity", content=b"{", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body"
    assert broker.keys("*") == []


@pytest.mark.parametrize("name", ["users.nothing", "users.cleanup", "system.heartbeat", "celery.ping"])
async def test_a_task_that_is_not_exposed_cannot_be_queued(shop: httpx2.AsyncClient, broker: Redis, name: str) -> None:
    answer = await shop.post(f"{TASKS}/{name}", json={"unused_for_days": 1})
    assert answer.status_code == 404
    assert name in answer.json()["detail"]
    assert broker.keys("*") == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("task_id", [str(uuid.uuid4()), "7", "no-id", "%00", "a" * 500])
async def test_a_task_that_is_unknown_is_a_404(shop: httpx2.AsyncClient, method: str, task_id: str) -> None:
    answer = await shop.request(method, f"{TASKS}/{task_id}")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_cancelled_task_is_revoked_and_cannot_be_cancelled_again(shop: httpx2.AsyncClient) -> None:
    location = (await shop.post(f"{TASKS}/users.update_stats")).headers["Location"]
    cancelled = await shop.delete(location)
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "REVOKED")
    assert (await shop.get(location)).json()["status"] == "REVOKED"
    assert (await shop.delete(location)).status_code == 409


async def test_a_task_that_ended_shows_its_result_and_cannot_be_cancelled(
    shop: httpx2.AsyncClient, results: Redis
) -> None:
    queued = await shop.post(f"{TASKS}/users.update_stats")
    stored = {
        "status": "SUCCESS",
        "result": {"users": 3},
        "started_at": "2026-05-04T12:00:00+00:00",
        "date_done": "2026-05-04T12:00:01+00:00",
    }
    results.set(result_key(queued.json()["task_id"]), json.dumps(stored))
    read = (await shop.get(queued.headers["Location"])).json()
    assert (read["status"], read["result"], read["error"]) == ("SUCCESS", {"users": 3}, None)
    assert (read["started_at"], read["finished_at"]) == ("2026-05-04T12:00:00Z", "2026-05-04T12:00:01Z")
    assert (await shop.delete(queued.headers["Location"])).status_code == 409


async def test_a_task_that_failed_shows_its_error_without_traceback(shop: httpx2.AsyncClient, results: Redis) -> None:
    queued = await shop.post(f"{TASKS}/users.update_stats")
    raised = {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}
    stored = {"status": "FAILURE", "result": raised, "traceback": "Traceback ...", "retries": 1}
    results.set(result_key(queued.json()["task_id"]), json.dumps(stored))
    read = (await shop.get(queued.headers["Location"])).json()
    assert (read["status"], read["retries"], read["result"]) == ("FAILURE", 1, None)
    assert read["error"] == {"type": "ValueError", "message": "no"}


async def test_the_request_id_goes_with_the_task(shop: httpx2.AsyncClient, broker: Redis) -> None:
    request_id = "0198c7a46f0e4b6e9f2e6a1d5b7c9e10"
    await shop.post(f"{TASKS}/users.update_stats", headers={"X-Request-ID": request_id})
    (waiting,) = [message for key in broker.keys("default*") for message in broker.lrange(key, 0, -1)]
    assert json.loads(waiting)["headers"]["request_id"] == request_id


@pytest.fixture(params=["hanging_url", "refusing_url"])
async def away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A queue whose Redis hangs, and one whose Redis is not there; which of both."""
    async with open_redis(request.getfixturevalue(request.param), patience=60, max_connections=5) as redis:
        queue = TaskQueue(RedisPublisher(celery_app, redis), redis, redis, deadline=0.15)
        monkeypatch.setattr(task_queue, "get", lambda: queue)
        yield request.param


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{TASKS}/users.update_stats"),
        ("GET", f"{TASKS}/{uuid.uuid4()}"),
        ("DELETE", f"{TASKS}/{uuid.uuid4()}"),
        ("GET", "/api/v1/schedule"),
        ("GET", "/health/celery"),
    ],
)
async def test_a_queue_that_is_away_is_a_503_while_the_rest_goes_on(
    shop: httpx2.AsyncClient, away: str, method: str, path: str
) -> None:
    started = time.monotonic()
    asked = asyncio.create_task(shop.request(method, path))
    await asyncio.sleep(0)
    assert (await shop.get("/health/live")).status_code == 200
    assert away == "refusing_url" or not asked.done()
    answer = await asked
    assert time.monotonic() - started < 1
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


async def test_the_service_is_not_ready_while_the_queue_is_away(shop: httpx2.AsyncClient, away: str) -> None:
    answer = await shop.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"] == "ok"
    assert answer.json()["parts"]["task queue"] != "ok"
