"""Figures over HTTP, cached."""

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from redis import Redis

from app.core.redis import cache, open_redis
from app.services.statistics import CACHE_KEY
from tests.fixtures.redis import database_url

pytestmark = pytest.mark.usefixtures("redis_server")

STATISTICS = "/api/v1/statistics"


async def read(client: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await client.get(STATISTICS)
    assert answer.status_code == 200, answer.text
    figures: dict[str, Any] = answer.json()
    return figures


async def create(client: httpx2.AsyncClient, email: str) -> None:
    created = await client.post("/api/v1/users", json={"email": email, "name": "Ada"})
    seen = {"last_activity": datetime.now(UTC).isoformat()}
    assert (await client.patch(created.headers["Location"], json=seen)).status_code == 200


async def test_figures_are_counted_once_and_then_cached(client: httpx2.AsyncClient) -> None:
    await create(client, "ada@example.org")
    counted = await read(client)
    await create(client, "grace@example.org")
    assert (counted["users"], counted["active_today"], counted["active_this_week"]) == (1, 1, 1)
    assert await read(client) == counted


async def test_cached_figures_expire_and_are_counted_anew(client: httpx2.AsyncClient) -> None:
    await read(client)
    await create(client, "ada@example.org")
    with Redis.from_url(database_url(13)) as redis:
        assert 0 < redis.ttl(CACHE_KEY) <= 60
        redis.delete(CACHE_KEY)
    assert (await read(client))["users"] == 1


@pytest.mark.parametrize("cached", ["no JSON", "{}", '{"users": 7}'])
async def test_what_is_in_the_cache_and_does_not_fit_is_counted_anew(client: httpx2.AsyncClient, cached: str) -> None:
    with Redis.from_url(database_url(13)) as redis:
        redis.set(CACHE_KEY, cached)
    assert (await read(client))["users"] == 0


@pytest.fixture(params=["hanging_url", "refusing_url"])
async def away(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A cache that hangs, and one that is not there."""
    async with open_redis(request.getfixturevalue(request.param), patience=0.2, max_connections=5) as client:
        monkeypatch.setattr(cache, "get", lambda: client)
        yield


async def test_figures_are_right_while_the_cache_is_away(
    client: httpx2.AsyncClient, away: None, log: Callable[[], list[dict[str, Any]]]
) -> None:
    for number in range(2):
        await create(client, f"user{number}@example.org")
        started = time.monotonic()
        assert (await read(client))["users"] == number + 1
        assert time.monotonic() - started < 1
    assert "the cache is away" in [event["event"] for event in log()]


async def test_the_service_is_not_ready_while_the_cache_is_away(client: httpx2.AsyncClient, away: None) -> None:
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"] == "ok"
    assert answer.json()["parts"]["redis"] != "ok"
