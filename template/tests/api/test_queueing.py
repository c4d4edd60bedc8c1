"""How a caller queues: once for a key, later, before others, and not without end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from redis import Redis

from app.core.config.task_api import get_task_api_settings
from tests.fixtures.celery import bearer

pytestmark = pytest.mark.usefixtures("redis_server")

TASKS = "/api/v1/tasks"
STATS = f"{TASKS}/users.update_stats"
KEY = {"Idempotency-Key": "order-7"}


def waiting(broker: Redis) -> list[dict[str, object]]:
    return [json.loads(text)["headers"] for key in broker.keys("default*") for text in broker.lrange(key, 0, -1)]


async def test_fifty_posts_of_one_key_at_once_queue_one_task(shop: httpx2.AsyncClient, broker: Redis) -> None:
    answers = await asyncio.gather(*(shop.post(STATS, json={}, headers=KEY) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["task_id"] for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert len(waiting(broker)) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [(STATS, {"day": "2026-05-05"}), (f"{STATS}?priority=1", {"day": "2026-05-04"}), (f"{TASKS}/reports.activity", {})],
)
async def test_the_same_key_for_something_else_is_refused(
    shop: httpx2.AsyncClient, broker: Redis, path: str, body: dict[str, str]
) -> None:
    assert (await shop.post(STATS, json={"day": "2026-05-04"}, headers=KEY)).status_code == 202
    answer = await shop.post(path, json=body, headers=KEY)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["header.Idempotency-Key"]
    assert len(waiting(broker)) == 1


async def test_two_owners_may_use_the_same_key(shop: httpx2.AsyncClient) -> None:
    first = await shop.post(STATS, headers=KEY)
    second = await shop.post(STATS, headers=KEY | bearer("farm"))
    assert first.json()["task_id"] != second.json()["task_id"]


async def test_a_key_lasts_for_a_day(shop: httpx2.AsyncClient, broker: Redis) -> None:
    await shop.post(STATS, headers=KEY)
    (claim,) = broker.keys("idempotency:*")
    assert 24 * 3600 - 5 < broker.ttl(claim) <= 24 * 3600


@pytest.mark.parametrize("key", ["", " ", "two words", "a" * 256, "tab\there", "é"])
async def test_a_key_that_is_none_is_refused(shop: httpx2.AsyncClient, broker: Redis, key: str) -> None:
    answer = await shop.post(STATS, headers=[(b"Idempotency-Key", key.encode())])
    assert answer.status_code == 422
    assert waiting(broker) == []


@pytest.mark.parametrize(
    "options", [{"countdown": "60"}, {"eta": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}]
)
async def test_a_task_may_be_put_off(shop: httpx2.AsyncClient, broker: Redis, options: dict[str, str]) -> None:
    assert (await shop.post(STATS, params=options)).status_code == 202
    (headers,) = waiting(broker)
    wait = datetime.fromisoformat(str(headers["eta"])) - datetime.now(UTC)
    assert timedelta(seconds=50) < wait < timedelta(hours=1, seconds=5)


async def test_a_task_may_go_before_others(shop: httpx2.AsyncClient, broker: Redis) -> None:
    await shop.post(STATS)
    await shop.post(f"{STATS}?priority=9")
    await shop.post(f"{STATS}?priority=0")
    assert [broker.llen(key) for key in ("default", "default\x06\x163", "default\x06\x169")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"countdown": "-1"}, "query.countdown"),
        ({"countdown": "86401"}, "query.countdown"),
        ({"countdown": "inf"}, "query.countdown"),
        ({"countdown": "nan"}, "query.countdown"),
        ({"countdown": "soon"}, "query.countdown"),
        ({"eta": "2020-01-01T00:00:00Z"}, "query.eta"),
        ({"eta": "2999-01-01T00:00:00Z"}, "query.eta"),
        ({"eta": "2999-01-01T00:00:00"}, "query.eta"),
        ({"eta": "tomorrow"}, "query.eta"),
        ({"priority": "10"}, "query.priority"),
        ({"priority": "-1"}, "query.priority"),
        ({"prioritty": "1"}, "query.prioritty"),
        ({"countdown": "1", "eta": "2999-01-01T00:00:00Z"}, "query.eta"),
    ],
)
async def test_options_that_do_not_fit_are_refused(
    shop: httpx2.AsyncClient, broker: Redis, options: dict[str, str], field: str
) -> None:
    answer = await shop.post(STATS, params=options)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert waiting(broker) == []


async def test_an_owner_may_not_queue_without_end(
    shop: httpx2.AsyncClient, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_task_api_settings().model_copy(update={"unfinished_limit": 2})
    monkeypatch.setattr("app.api.queueing.get_task_api_settings", lambda: settings)
    first = await shop.post(STATS, headers=KEY)
    await shop.post(STATS)
    refused = await shop.post(STATS)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert (await shop.post(STATS, headers=KEY)).json() == first.json()
    assert (await shop.post(STATS, headers=bearer("farm"))).status_code == 202
    assert len(waiting(broker)) == 3
    await shop.delete(first.headers["Location"])
    assert (await shop.post(STATS)).status_code == 202
