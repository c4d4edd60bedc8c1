"""The cache client."""

import asyncio
import time

import pytest
from pydantic import ValidationError
from redis.exceptions import RedisError

from app.core.config.redis import RedisSettings, get_redis_settings
from app.core.redis import cache, open_redis

PATIENCE = 0.2


async def test_what_is_kept_in_the_cache_comes_back_as_text(redis_server: None) -> None:
    async with cache.open() as client:
        await client.set("greeting", "grüß dich", ex=10)
        assert await client.get("greeting") == "grüß dich"
        assert await client.get("other") is None
        await cache.check()


async def test_many_at_once_wait_for_a_few_connections(redis_server: None) -> None:
    async with open_redis(get_redis_settings().url, patience=5, max_connections=2) as client:
        counts = await asyncio.gather(*(client.incr("visits") for _ in range(20)))
        assert sorted(counts) == list(range(1, 21))


async def test_a_redis_that_hangs_is_given_up_in_time(hanging_url: str) -> None:
    started = time.monotonic()
    async with open_redis(hanging_url, patience=PATIENCE, max_connections=1) as client:
        with pytest.raises(RedisError):
            await client.ping()
    assert time.monotonic() - started < 4 * PATIENCE


async def test_a_redis_that_is_not_there_is_given_up_at_once(refusing_url: str) -> None:
    async with open_redis(refusing_url, patience=60, max_connections=1) as client, asyncio.timeout(5):
        with pytest.raises(RedisError):
            await client.ping()


@pytest.mark.parametrize("url", ["", "cache:6379", "http://cache", "redis://", "redis://cache:port/0", "redis://:0/0"])
def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(ValidationError, match="is no Redis address"):
        RedisSettings()


def test_production_refuses_a_redis_without_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/0")
    with pytest.raises(ValidationError, match="needs a password"):
        RedisSettings()
