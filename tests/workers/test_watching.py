"""Those who wait for tasks and watch them hear of the end, whatever is restarted meanwhile."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from statistics import median
from typing import Any

import httpx2
import psutil
import pytest
from redis import Redis
from servers import RedisServer, end, unavailable, wait_until
from workers.processes import AUTHORIZED, Api, Service

WAIT = 55
"""Seconds; more than any task here takes."""
TASKS = 10
WAITERS = 200
Event = dict[str, str]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One that knows what it was told when it is killed."""
    program = shutil.which("redis-server")
    if program is None:
        unavailable("Redis (redis-server) is not installed")
    server = RedisServer(program, tmp_path_factory.mktemp("own-redis"), append_fsync="always")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def watched(new_service: Callable[[], Service], own_redis: RedisServer) -> Service:
    names = ("REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
    return new_service().set(**{name: own_redis.url(number) for number, name in enumerate(names)})


@pytest.fixture
def redis(own_redis: RedisServer) -> Iterator[Redis]:
    with Redis(port=own_redis.port) as redis:
        yield redis


def channels(redis: Redis) -> int:
    return len(redis.pubsub_channels("celery-task-meta-*"))


def subscribed_connections(redis: Redis) -> int:
    return sum(int(client["sub"]) > 0 for client in redis.client_list())


def queue_tasks(api: Api, name: str, number: int = TASKS, **arguments: Any) -> list[str]:
    answers = [api.client.post(f"{api.url}/api/v1/tasks/{name}", json=arguments) for _ in range(number)]
    assert {answer.status_code for answer in answers} == {202}
    return [answer.json()["task_id"] for answer in answers]


class Watchers:
    """Clients of one API."""

    def __init__(self, api: Api) -> None:
        self._client = httpx2.AsyncClient(
            base_url=f"{api.url}/api/v1/tasks",
            headers=AUTHORIZED,
            timeout=WAIT + 10,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
        )

    async def wait(self, task_id: str) -> dict[str, Any]:
        """The task at its end, and when that was heard of."""
        answer = await self._client.get(f"/{task_id}", params={"wait": WAIT})
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json() | {"heard": time.time()}
        return task

    async def read(self, task_id: str, seen: str = "") -> list[Event]:
        """The events until the stream ends."""
        events: list[Event] = [{}]
        async with self._client.stream("GET", f"/{task_id}/events", headers={"Last-Event-ID": seen}) as stream:
            async for line in stream.aiter_lines():
                if not line:
                    events.append({})
                elif not line.startswith(":"):
                    name, value = line.split(": ", 1)
                    events[-1][name] = value
        return [event for event in events if event]

    async def close(self) -> None:
        await self._client.aclose()


@asynccontextmanager
async def watchers_of(*apis: Api) -> Any:
    watchers = [Watchers(api) for api in apis]
    yield watchers
    for one in watchers:
        await one.close()


async def in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(call, *arguments)


def start(coroutines: list[Coroutine[Any, Any, Any]]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(coroutine) for coroutine in coroutines]


def ends(streams: list[list[Event]]) -> list[tuple[str, str]]:
    return [(stream[-1]["event"], json.loads(stream[-1]["data"])["status"]) for stream in streams]


def threads(api: Api) -> int:
    return psutil.Process(api.process.pid).num_threads()


def clients(api: Api) -> int:
    """Connections to it."""
    connections = psutil.Process(api.process.pid).net_connections()
    return sum(f":{one.laddr.port}" in api.url and one.status == psutil.CONN_ESTABLISHED for one in connections)


def test_two_hundred_waiters_at_two_apis_hear_of_the_end(watched: Service, redis: Redis) -> None:
    async def watch(one: Api, other: Api, ids: list[str]) -> list[dict[str, Any]]:
        async with watchers_of(one, other) as apis:
            waiting = start([apis[n % 2].wait(ids[n % TASKS]) for n in range(WAITERS)])
            await in_thread(wait_until, lambda: channels(redis) == TASKS)
            await asyncio.sleep(1)  # for all of them to have asked
            assert subscribed_connections(redis) == 2
            threads_at_work = [threads(api) for api in (one, other)]
            with watched.worker("-c", "2"):
                answers = await asyncio.gather(*waiting)
            assert threads_at_work == [threads(api) for api in (one, other)]
            return answers

    with watched.api() as one, watched.api() as other:
        before = [threads(api) for api in (one, other)]
        answers = asyncio.run(watch(one, other, queue_tasks(one, "proof.walk", steps=1)))
        assert {answer["status"] for answer in answers} == {"SUCCESS"}
        late = median(answer["heard"] - datetime.fromisoformat(answer["finished_at"]).timestamp() for answer in answers)
        assert late < 0.5  # a benchmark has it exactly
        assert max(threads(api) for api in (one, other)) <= max(before) + 4  # of a pool, not one a waiter
        wait_until(lambda: channels(redis) == 0)
        wait_until(lambda: subscribed_connections(redis) == 0)


@pytest.mark.slow
def test_nothing_is_left_of_clients_that_went_away(watched: Service, redis: Redis) -> None:
    async def go_away(api: Api, ids: list[str]) -> None:
        async with watchers_of(api) as (watchers,):
            watching = start([watchers.read(task_id) for task_id in ids] + [watchers.wait(task_id) for task_id in ids])
            await in_thread(wait_until, lambda: channels(redis) == TASKS)
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)

    with watched.api() as api:
        ids = queue_tasks(api, "proof.walk", steps=1)
        before = clients(api)
        asyncio.run(go_away(api, ids))
        wait_until(lambda: clients(api) == before)
        wait_until(lambda: channels(redis) == 0)
        wait_until(lambda: subscribed_connections(redis) == 0)
        assert "Traceback" not in api.log()
        for task_id in ids:
            api.client.delete(f"{api.url}/api/v1/tasks/{task_id}")


@pytest.mark.slow
def test_an_api_that_is_restarted_lets_go_at_once_and_streams_go_on(watched: Service, redis: Redis) -> None:
    async def attach(api: Api, ids: list[str]) -> tuple[list[list[Event]], list[dict[str, Any]], float]:
        async with watchers_of(api) as (watchers,):
            streams = start([watchers.read(task_id) for task_id in ids])
            waits = start([watchers.wait(task_id) for task_id in ids])
            await in_thread(wait_until, lambda: channels(redis) == TASKS)
            began = time.monotonic()
            await in_thread(end, api.process)
            return await asyncio.gather(*streams), await asyncio.gather(*waits), time.monotonic() - began

    async def attach_again(api: Api, ids: list[str], seen: list[str]) -> list[list[Event]]:
        async with watchers_of(api) as (watchers,):
            streams = start([watchers.read(*task) for task in zip(ids, seen, strict=True)])
            await in_thread(wait_until, lambda: channels(redis) == TASKS)
            with watched.worker("-c", "2"):
                return list(await asyncio.gather(*streams))

    with watched.api() as api:
        ids = queue_tasks(api, "proof.walk", steps=1)
        streams, waits, seconds = asyncio.run(attach(api, ids))
        assert ends(streams) == [("state", "PENDING")] * TASKS
        assert [answer["status"] for answer in waits] == ["PENDING"] * TASKS
        assert seconds < 5
        assert "Traceback" not in api.log()
    with watched.api() as api:
        streams = asyncio.run(attach_again(api, ids, [stream[-1]["id"] for stream in streams]))
        assert ends(streams) == [("end", "SUCCESS")] * TASKS
        assert all(json.loads(stream[0]["data"])["status"] != "PENDING" for stream in streams)
        seen = [stream[-1]["id"] for stream in streams]
        headers = [{"Last-Event-ID": event} for event in seen]
        again = [
            api.client.get(f"{api.url}/api/v1/tasks/{task_id}/events", headers=header)
            for task_id, header in zip(ids, headers, strict=True)
        ]
        assert {answer.status_code for answer in again} == {204}


def kill_and_start(server: RedisServer) -> None:
    server.kill()
    time.sleep(1)
    server.start()


def freeze_and_thaw(server: RedisServer) -> None:
    server.freeze()
    time.sleep(5)
    server.thaw()


@pytest.mark.slow
@pytest.mark.parametrize("outage", [kill_and_start, freeze_and_thaw])
@pytest.mark.parametrize("ends_in", ["the outage", "the time after"])
def test_every_waiter_hears_of_the_end_when_redis_was_away(
    watched: Service, own_redis: RedisServer, redis: Redis, outage: Callable[[RedisServer], None], ends_in: str
) -> None:
    async def watch(api: Api, ids: list[str]) -> tuple[list[list[Event]], list[dict[str, Any]]]:
        async with watchers_of(api) as (watchers,):
            streams = start([watchers.read(task_id) for task_id in ids])
            waits = start([watchers.wait(ids[n % len(ids)]) for n in range(50)])
            await in_thread(wait_until, lambda: channels(redis) == len(ids))
            await asyncio.sleep(1)  # for all of them to have asked
            await in_thread(outage, own_redis)
            return await asyncio.gather(*streams), await asyncio.gather(*waits)

    with watched.api() as api, watched.worker("-c", "4") as worker:
        seconds = 4 if ends_in == "the outage" else 12
        ids = queue_tasks(api, "proof.walk", number=4, steps=10, seconds=seconds)
        wait_until(lambda: len(worker.events("task started")) == len(ids), what=worker.log)
        streams, waits = asyncio.run(watch(api, ids))
        assert ends(streams) == [("end", "SUCCESS")] * len(ids)
        assert {answer["status"] for answer in waits} == {"SUCCESS"}
        wait_until(lambda: channels(redis) == 0)
        assert worker.stop() == 0


@pytest.mark.slow
def test_a_million_steps_are_written_a_few_times_a_second(watched: Service) -> None:
    with watched.api() as api, watched.worker("-c", "1") as worker:
        (warm,) = queue_tasks(api, "proof.walk", number=1, steps=1)
        wait_until(lambda: api.status(warm) == "SUCCESS", what=worker.log)
        (task_id,) = queue_tasks(api, "proof.walk", number=1, steps=1_000_000)

        async def watch() -> list[Event]:
            async with watchers_of(api) as (watchers,):
                events: list[Event] = await watchers.read(task_id)
                return events

        events = asyncio.run(watch())
        last = json.loads(events[-1]["data"])
        assert last["progress"] == {"current": 1_000_000, "total": 1_000_000, "message": ""}
        ran = datetime.fromisoformat(last["finished_at"]) - datetime.fromisoformat(last["started_at"])
        # the start, the end, and that all is done, beside a report each 0.2 seconds
        written = int(events[-1]["id"].split("-")[0])
        assert written <= ran.total_seconds() / 0.2 + 4
        assert len(events) <= written + 1
        assert worker.stop() == 0
