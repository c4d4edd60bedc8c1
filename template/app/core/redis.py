"""The cache: Redis database 0."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.core.config.redis import get_redis_settings
from app.core.resources import Resource


@asynccontextmanager
async def open_redis(url: str, *, patience: float, max_connections: int) -> AsyncIterator[Redis]:
    """A client for text that gives up after `patience` seconds on any one step, and never tries twice by itself."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        max_connections=max_connections,
        timeout=patience,
        socket_timeout=patience,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
    )
    async with Redis.from_pool(pool) as client:
        yield client


def _open_cache() -> AbstractAsyncContextManager[Redis]:
    settings = get_redis_settings()
    return open_redis(settings.url, patience=settings.timeout, max_connections=settings.max_connections)


async def _check_cache(client: Redis) -> None:
    await client.ping()


cache = Resource("redis", _open_cache, _check_cache)
