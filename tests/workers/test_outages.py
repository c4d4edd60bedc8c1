"""The API while Redis does not answer: it says so in time, everything else goes on, and it comes back by itself."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest
from servers import Proxy, RedisServer, wait_until
from workers.processes import AUTHORIZED, Api, Service

DEADLINE = 1.5
HEALTH_P99 = 0.1
MORE_THAN_CONNECTIONS = 60


@dataclass
class Outage:
    begin: Callable[[], None]
    end: Callable[[], None]


@pytest.fixture(scope="module")
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def behind_proxy(service: Service, proxy: Proxy, redis_server: RedisServer) -> Iterator[Api]:
    addresses = ("REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
    settings = {name: service.settings[name].replace(f":{redis_server.port}", f":{proxy.port}") for name in addresses}
    with service.set(**settings).api() as api:
        yield api


@pytest.fixture(params=["Redis hangs", pytest.param("Redis is stopped", marks=pytest.mark.slow)])
def outage(request: pytest.FixtureRequest, proxy: Proxy, redis_server: RedisServer) -> Outage:
    def stop() -> None:
        redis_server.stop()
        proxy.refuse()

    def start() -> None:
        redis_server.start()
        proxy.forward()

    return Outage(proxy.drop_packets, proxy.forward) if request.param == "Redis hangs" else Outage(stop, start)


def test_the_api_answers_in_time_during_an_outage_and_is_back_after_it(
    service: Service, behind_proxy: Api, outage: Outage, request: pytest.FixtureRequest
) -> None:
    api = behind_proxy
    with service.worker("-c", "1") as worker:
        task = f"{api.url}/api/v1/tasks/proof.use_session"
        queued = api.client.post(task, json={"key": f"before {request.node.name}"}).json()
        wait_until(lambda: api.status(queued["task_id"]) == "SUCCESS", what=worker.log)
        outage.begin()
        try:
            more_answers, more_seconds, _ = asyncio.run(
                ask_during_outage(api, queued["task_id"], at_once=MORE_THAN_CONNECTIONS)
            )
            answers, seconds, health = asyncio.run(ask_during_outage(api, queued["task_id"], at_once=20))
        finally:
            outage.end()

        assert {answer.status_code for answer in answers + more_answers} == {503}
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers + more_answers)
        assert max(seconds + more_seconds) < DEADLINE
        assert statistics.quantiles(health, n=100)[98] < HEALTH_P99

        def is_queued_again() -> bool:
            answer = api.client.post(task, json={"key": f"{time.monotonic()}"})
            if answer.status_code == 202:
                queued.update(answer.json())
            return answer.status_code == 202

        wait_until(is_queued_again, what=api.log)
        wait_until(lambda: api.status(queued["task_id"]) == "SUCCESS", 30, worker.log)


async def ask_during_outage(
    api: Api, task_id: str, at_once: int
) -> tuple[list[httpx2.Response], list[float], list[float]]:
    """Answers of the task endpoints, how long each took, and how long /health/live took meanwhile."""
    answers: list[httpx2.Response] = []
    seconds: list[float] = []
    health: list[float] = []
    tasks = f"{api.url}/api/v1/tasks"

    async def timed(answer: Awaitable[httpx2.Response]) -> tuple[httpx2.Response, float]:
        start = time.monotonic()
        return await answer, time.monotonic() - start

    async def ask(client: httpx2.AsyncClient, number: int) -> None:
        for answer in (
            client.post(f"{tasks}/proof.use_session", json={"key": f"during {number}"}),
            client.get(f"{tasks}/{task_id}"),
            client.delete(f"{tasks}/{task_id}"),
        ):
            answered, took = await timed(answer)
            answers.append(answered)
            seconds.append(took)

    limits = httpx2.Limits(max_connections=None)
    async with (
        httpx2.AsyncClient(headers=AUTHORIZED, timeout=10, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        asking = [group.create_task(ask(client, number)) for number in range(at_once)]
        while not all(task.done() for task in asking) or len(health) < 100:
            answered, took = await timed(client.get(f"{api.url}/health/live"))
            assert answered.status_code == 200
            health.append(took)
            await asyncio.sleep(0.01)
    return answers, seconds, health
