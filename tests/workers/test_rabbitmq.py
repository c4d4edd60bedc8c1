"""RabbitMQ in place of Redis as the broker: by its address alone, with the same promises."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from celery import Celery
from kombu import Exchange, Queue
from servers import Proxy, RabbitServer, wait_until
from workers.load import Load
from workers.processes import AUTHORIZED, Api, Service, outcome

DEADLINE = 1.5
THREADS = 8
"""That the API sends from."""


@pytest.fixture(scope="session")
def new_service(new_service: Callable[[], Service], rabbit_server: RabbitServer) -> Callable[[], Service]:
    """Each has a virtual host of its own."""
    numbers = itertools.count()
    return lambda: new_service().set(CELERY_BROKER_URL=rabbit_server.add_virtual_host(f"service{next(numbers)}"))


@pytest.fixture(scope="module")
def queue(queue: Celery[Any]) -> Celery[Any]:
    """What another service must know: where the messages go."""
    tasks, arguments = Exchange("tasks", type="topic"), {"x-queue-type": "quorum"}
    queue.conf.task_queues = [Queue("default", tasks, routing_key="default", queue_arguments=arguments)]
    return queue


def queue_task(api: Api, name: str, **arguments: Any) -> str:
    """Its id."""
    answer = api.client.post(f"{api.url}/api/v1/tasks/{name}", json=arguments)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def waiting_in(api: Api) -> dict[str, int]:
    """The messages by queue."""
    waiting: dict[str, int] = api.client.get(f"{api.url}/health/celery").json()["waiting"]
    return waiting


@pytest.mark.slow
def test_a_task_is_queued_followed_and_cancelled(service: Service, api: Api) -> None:
    cancelled = queue_task(api, "proof.use_session", key="cancelled")
    assert api.client.delete(f"{api.url}/api/v1/tasks/{cancelled}").status_code == 202
    waiting = queue_task(api, "proof.use_session", key="waiting")
    assert waiting_in(api) == {"high_priority": 0, "default": 2, "low_priority": 0}

    with service.worker("-c", "1") as worker:
        wait_until(lambda: api.status(waiting) == "SUCCESS", what=worker.log)
        running = queue_task(api, "proof.hold", key="running", seconds=30)
        wait_until(service.transactions)
        assert api.client.delete(f"{api.url}/api/v1/tasks/{running}").status_code == 202
        wait_until(lambda: not service.transactions(), what=worker.log)
        following = queue_task(api, "proof.use_session", key="following")
        wait_until(lambda: api.status(following) == "SUCCESS", what=worker.log)
        assert worker.stop() == 0

    assert [api.status(task) for task in (cancelled, running)] == ["REVOKED", "REVOKED"]
    assert service.written() == ["waiting", "following"]


@pytest.mark.slow
def test_what_a_killed_worker_held_runs_elsewhere(service: Service, queue: Celery[Any]) -> None:
    keys = [f"killed {number}" for number in range(6)]
    with service.worker("-c", "2") as killed:
        results = [queue.send_task("proof.start_and_wait", kwargs={"key": key, "seconds": 2}) for key in keys]
        wait_until(lambda: service.starts()[keys[0]] and service.starts()[keys[1]])
        killed.kill()
        with service.worker("-c", "2") as worker:
            assert {outcome(result) for result in results} == {"SUCCESS"}, worker.log()

    assert [service.starts()[key] for key in keys] == [2, 2, 1, 1, 1, 1]


@pytest.mark.slow
def test_a_task_that_ended_without_acknowledgement_is_not_run_again(
    service: Service, queue: Celery[Any], rabbit_server: RabbitServer
) -> None:
    with Proxy(rabbit_server.port) as proxy:
        address = service.settings["CELERY_BROKER_URL"].replace(f":{rabbit_server.port}/", f":{proxy.port}/")
        with service.set(CELERY_BROKER_URL=address).worker("-c", "1") as worker:
            result = queue.send_task("proof.start_and_wait", kwargs={"key": "ended", "seconds": 1})
            wait_until(lambda: service.starts()["ended"], what=worker.log)
            proxy.refuse()
            assert outcome(result) == "SUCCESS"
            proxy.forward()
            wait_until(lambda: worker.events("task had ended already"), what=worker.log)
            assert worker.stop() == 0

    assert service.starts()["ended"] == 1


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up(service: Service, queue: Celery[Any]) -> None:
    with service.worker("-c", "1") as worker:
        killer = queue.send_task("proof.kill_process")
        following = queue.send_task("proof.start_and_wait", kwargs={"key": "after the killer"})

        assert outcome(killer, 60) == "FAILURE", worker.log()
        assert type(killer.result).__name__ == "WorkerKillerError"
        assert outcome(following) == "SUCCESS"
        assert worker.stop() == 0


@pytest.mark.slow
def test_a_countdown_is_kept_by_the_broker_and_runs_once(service: Service, queue: Celery[Any]) -> None:
    with service.worker("-c", "1") as killed:
        due = time.monotonic() + 8
        result = queue.send_task("proof.start_and_wait", kwargs={"key": "later"}, countdown=8)
        killed.kill()
    with service.worker("-c", "1") as worker:
        assert outcome(result) == "SUCCESS", worker.log()
        assert time.monotonic() > due - 1  # RabbitMQ counts in whole seconds
        assert worker.stop() == 0

    assert service.starts()["later"] == 1


@pytest.fixture(params=["hangs", "is stopped", "is killed"])
def outage(
    request: pytest.FixtureRequest, rabbit_server: RabbitServer
) -> tuple[Callable[[], None], Callable[[], None]]:
    """What begins it, and what ends it."""
    begin = {"hangs": rabbit_server.freeze, "is stopped": rabbit_server.stop, "is killed": rabbit_server.kill}
    end = rabbit_server.thaw if request.param == "hangs" else rabbit_server.start
    return begin[request.param], end


@pytest.mark.slow
def test_the_api_answers_in_time_during_an_outage_and_is_back_after_it(
    service: Service, outage: tuple[Callable[[], None], Callable[[], None]], request: pytest.FixtureRequest
) -> None:
    """Its own API: whose connections are open when it begins."""
    begin, end = outage
    refused = request.node.name
    with service.api() as api, service.worker("-c", "1") as worker:
        before = [queue_task(api, "proof.start_and_wait", key="before") for _ in range(2 * THREADS)]
        begin()
        try:
            answers = asyncio.run(post_at_once(api, refused, 5 * THREADS))
            answers += asyncio.run(post_at_once(api, refused, 3))
        finally:
            end()

        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < DEADLINE

        wait_until(lambda: asyncio.run(post_at_once(api, "after", 1))[0][0] == 202, 10, api.log)
        assert {status for status, _ in asyncio.run(post_at_once(api, "after", 5 * THREADS))} == {202}
        after = queue_task(api, "proof.start_and_wait", key="last")
        wait_until(lambda: {api.status(task) for task in [*before, after]} == {"SUCCESS"}, 60, worker.log)

    if "hangs" not in refused:  # then it may take what it had received by then
        assert service.starts()[refused] == 0


async def post_at_once(api: Api, key: str, requests: int) -> list[tuple[int, float]]:
    """Status and seconds of each; meanwhile, the API answers others at once."""

    async def timed(client: httpx2.AsyncClient, path: str, body: dict[str, Any] | None = None) -> tuple[int, float]:
        start = time.monotonic()
        answer = await client.request("POST" if body else "GET", f"{api.url}{path}", json=body)
        return answer.status_code, time.monotonic() - start

    async with httpx2.AsyncClient(headers=AUTHORIZED, timeout=10) as client, asyncio.TaskGroup() as group:
        path, body = "/api/v1/tasks/proof.start_and_wait", {"key": key}
        asking = [group.create_task(timed(client, path, body)) for _ in range(requests)]
        while not all(task.done() for task in asking):
            status, seconds = await timed(client, "/health/live")
            assert status == 200
            assert seconds < 0.5
            await asyncio.sleep(0.02)
    return [task.result() for task in asking]


@pytest.mark.slow
@pytest.mark.parametrize("end", [RabbitServer.stop, RabbitServer.kill])
def test_a_restart_under_load_loses_nothing(
    new_service: Callable[[], Service], rabbit_server: RabbitServer, end: Callable[[RabbitServer], None]
) -> None:
    service = new_service()
    with service.api() as api, service.worker("-c", "2") as worker:
        load = Load(api, seconds_of_a_task=0.01)
        load.queue(100)
        end(rabbit_server)
        rabbit_server.start()
        load.queue(200)
        wait_until(lambda: load.statuses().keys() == {"SUCCESS"}, 60, worker.log)
        assert worker.stop() == 0

    started = service.starts()
    assert load.accepted.keys() <= started.keys()
    assert sum(started[key] > 1 for key in load.accepted) <= 2  # those in mid-task


@pytest.mark.slow
def test_what_the_broker_does_not_confirm_is_not_accepted(
    new_service: Callable[[], Service], rabbit_server: RabbitServer
) -> None:
    """Refused by a queue that is full, RabbitMQ says so in a confirm alone."""
    service = new_service()
    virtual_host = service.settings["CELERY_BROKER_URL"].rpartition("/")[2]
    limit = '{"max-length": 3, "overflow": "reject-publish"}'
    rabbit_server.control("set_policy", "--vhost", virtual_host, "--apply-to", "queues", "full", ".*", limit)
    with service.api() as api:
        answers = [status for _ in range(20) for status, _ in asyncio.run(post_at_once(api, "confirmed", 1))]
        accepted = answers.count(202)

        assert set(answers) == {202, 503}
        assert waiting_in(api)["default"] == accepted


@pytest.mark.slow
def test_a_task_whose_worker_has_lost_its_connection_is_not_started_beside_itself(
    service: Service, queue: Celery[Any], rabbit_server: RabbitServer
) -> None:
    """Its message is handed out again at once, to the other worker."""
    with Proxy(rabbit_server.port) as proxy:
        address = service.settings["CELERY_BROKER_URL"].replace(f":{rabbit_server.port}/", f":{proxy.port}/")
        with service.set(CELERY_BROKER_URL=address).worker("-c", "1") as first:
            result = queue.send_task("proof.start_and_wait", kwargs={"key": "cut", "seconds": 15})
            wait_until(lambda: service.starts()["cut"], what=first.log)
            with service.worker("-c", "1", "-n", "other@%h") as other:
                proxy.refuse()
                waits = "the task runs elsewhere; this start waits for its end"
                wait_until(lambda: other.events(waits), what=other.log)
                assert outcome(result) == "SUCCESS", first.log()
                wait_until(lambda: other.events("task had ended already"), 30, other.log)
                proxy.forward()
                assert other.stop() == 0

    assert service.starts()["cut"] == 1
