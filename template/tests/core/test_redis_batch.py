"""Commands of many callers in one round trip."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import DataError, RedisError, ResponseError

from app.core import redis_batch
from app.core.redis import open_redis
from app.core.redis_batch import RedisBatch
from tests.fixtures.redis import database_url

PATIENCE = 0.2


@pytest.fixture
async def client(redis_server: None) -> AsyncIterator[AsyncRedis]:
    async with open_redis(database_url(15), patience=5, max_connections=5) as client:
        yield client


@pytest.fixture
def trips(client: AsyncRedis, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands went with each round trip."""
    made: list[int] = []
    pipeline = client.pipeline

    def counted(**options: Any) -> Any:
        new = pipeline(**options)
        execute = new.execute

        async def count(**how: Any) -> Any:
            made.append(len(new))
            return await execute(**how)

        monkeypatch.setattr(new, "execute", count)
        return new

    monkeypatch.setattr(client, "pipeline", counted)
    return made


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.001)


def flags_of(connection: int, results: Redis) -> str:
    """As Redis lists its clients; b: it waits for a list."""
    (flags,) = (client["flags"] for client in results.client_list() if client["id"] == str(connection))
    return str(flags)


async def test_who_asks_at_the_same_time_shares_a_round_trip(client: AsyncRedis, trips: list[int]) -> None:
    batch = RedisBatch(client)
    counts = await asyncio.gather(*(batch.execute("INCR", "visits") for _ in range(20)))
    assert counts == list(range(1, 21))
    assert trips == [20]
    assert await batch.execute("GET", "visits") == "20"


async def test_who_asks_while_one_is_under_way_goes_with_the_next(
    client: AsyncRedis, results: Redis, trips: list[int]
) -> None:
    batch = RedisBatch(client)
    waits = batch.execute("BLPOP", "list", 5)
    await until(lambda: trips)
    others = [batch.execute("INCR", "visits") for _ in range(3)]
    results.rpush("list", "there")
    assert await waits == ("list", "there")
    assert await asyncio.gather(*others) == [1, 2, 3]
    assert trips == [1, 3]


async def test_a_round_trip_has_a_most(client: AsyncRedis, trips: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_batch, "MOST_COMMANDS", 2)
    batch = RedisBatch(client)
    assert await asyncio.gather(*(batch.execute("INCR", "visits") for _ in range(5))) == [1, 2, 3, 4, 5]
    assert trips == [2, 2, 1]


@pytest.mark.usefixtures("real_redis")
async def test_an_error_is_that_of_its_own_caller(client: AsyncRedis) -> None:
    batch = RedisBatch(client)
    questions = [batch.execute(*command) for command in (("SET", "name", "Ada"), ("INCR", "name"), ("GET", "name"))]
    _, error, name = await asyncio.gather(*questions, return_exceptions=True)
    assert isinstance(error, ResponseError)
    assert name == "Ada"


async def test_what_nobody_waits_for_any_more_is_not_sent(client: AsyncRedis, trips: list[int]) -> None:
    batch = RedisBatch(client)
    kept, gone = batch.execute("INCR", "visits"), batch.execute("INCR", "visits")
    gone.cancel()
    assert await kept == 1
    assert trips == [1]


async def test_a_caller_that_goes_disturbs_no_other_on_its_way(
    client: AsyncRedis, results: Redis, trips: list[int]
) -> None:
    batch = RedisBatch(client)
    gone, stays = batch.execute("BLPOP", "list", 5), batch.execute("INCR", "visits")
    await until(lambda: trips)
    gone.cancel()
    results.rpush("list", "there")
    assert await stays == 1
    assert await batch.execute("INCR", "visits") == 2


@pytest.mark.usefixtures("real_redis")
async def test_a_lost_connection_fails_all_who_are_on_it_and_no_other(client: AsyncRedis, results: Redis) -> None:
    batch = RedisBatch(client)
    connection = await batch.execute("CLIENT", "ID")
    lost = [batch.execute("BLPOP", "list", 5), batch.execute("INCR", "visits")]
    await until(lambda: "b" in flags_of(connection, results))
    later = batch.execute("GET", "name")
    results.client_kill_filter(_id=connection)
    errors = await asyncio.gather(*lost, return_exceptions=True)
    assert [type(error) for error in errors] == [LostConnectionError] * 2
    assert await later is None


async def test_a_redis_that_hangs_fails_all_in_time(hanging_url: str) -> None:
    async with open_redis(hanging_url, patience=PATIENCE, max_connections=1) as client, asyncio.timeout(5):
        batch = RedisBatch(client)
        errors = await asyncio.gather(*(batch.execute("PING") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, RedisError) for error in errors)


async def test_what_cannot_be_sent_lets_nobody_wait(client: AsyncRedis) -> None:
    batch = RedisBatch(client)
    with pytest.raises(DataError):
        await batch.execute("SET", "name", object())
    assert await batch.execute("PING") is True
