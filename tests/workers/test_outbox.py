"""A task of a transaction is queued if that is committed, whatever fails around the commit, and runs once."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from rendering import environment
from servers import Proxy, RabbitServer, RedisServer, wait_until
from workers.processes import Api, Service

COMMIT_AND_DIE = Path(__file__).with_name("commit_and_die.py")
ADDRESSES = ("REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")


@pytest.fixture
def own_service(new_service: Callable[[], Service]) -> Service:
    return new_service()


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as proxy:
        yield proxy


def commit_and_die(service: Service, moment: str, key: str, count: int = 1) -> None:
    killed = subprocess.run(
        ["python", str(COMMIT_AND_DIE), moment, key, str(count)],
        cwd=service.folder,
        env=environment(service.folder, **service.settings, PYTHONPATH=str(service.folder)),
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


def waiting(service: Service, condition: str = "true") -> int:
    (count,) = service.postgres.query(f"SELECT count(*) FROM task_outbox WHERE {condition}", service.database)  # noqa: S608 (ours)
    return int(count)


def relay(service: Service, runs: int = 1) -> int:
    """Have it run so often, by whichever workers there are; how many entries they looked at."""
    with service.queue() as queue:
        sent = [queue.send_task("outbox.relay", queue="high_priority") for _ in range(runs)]
        return sum(result.get(timeout=60) for result in sent)


def wait_until_due(service: Service) -> None:
    wait_until(lambda: not waiting(service, "relay_at > now()"))


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["after the commit", "after the push"])
def test_what_a_killed_process_has_committed_runs_once(own_service: Service, moment: str) -> None:
    service = own_service
    commit_and_die(service, moment, "welcome")
    assert service.written() == ["welcome"]
    assert waiting(service) == 1
    with service.worker("-c", "2", "-B") as worker:
        wait_until(lambda: not waiting(service), 30, worker.log)
        wait_until(service.starts, what=worker.log)
        relay(service)
    assert service.starts() == {"welcome 0": 1}


@pytest.mark.slow
def test_what_a_killed_process_has_not_committed_never_runs(own_service: Service) -> None:
    service = own_service
    commit_and_die(service, "before the commit", "welcome")
    assert service.written() == []
    assert waiting(service) == 0
    with service.worker("-c", "2"):
        assert relay(service) == 0
    assert not service.starts()


@pytest.mark.slow
def test_relays_at_once_queue_each_of_500_tasks_once(own_service: Service) -> None:
    service = own_service
    commit_and_die(service, "after the commit", "welcome", 500)
    assert waiting(service) == 500
    wait_until_due(service)
    with service.worker("-c", "2", "-n", "one") as one, service.worker("-c", "2", "-n", "two") as two:
        assert relay(service, runs=8) == 500
        wait_until(lambda: sum(service.starts().values()) >= 500, 60, lambda: one.log() + two.log())
    assert service.starts() == {f"welcome {number}": 1 for number in range(500)}
    assert waiting(service) == 0


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["Redis hangs", "Redis is stopped"])
def test_a_request_succeeds_without_redis_and_its_task_runs_when_redis_is_back(
    own_service: Service, proxy: Proxy, redis_server: RedisServer, outage: str
) -> None:
    addresses = {
        name: own_service.settings[name].replace(f":{redis_server.port}", f":{proxy.port}") for name in ADDRESSES
    }
    service = own_service.set(**addresses)
    with service.api() as api, service.worker("-c", "2", "-B") as worker:
        (proxy.drop_packets if outage == "Redis hangs" else proxy.refuse)()
        start = time.monotonic()
        answers = [httpx2.post(f"{api.url}/proof/sign-up/{key}") for key in ("ada", "grace")]
        took = time.monotonic() - start
        wait_until(lambda: api.events("tasks of the outbox wait for its relay"), what=api.log)
        assert waiting(service) == 2
        proxy.forward()
        wait_until(lambda: len(service.starts()) == 2, 60, worker.log)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert took < 1
    assert service.starts() == {"ada 0": 1, "grace 0": 1}
    assert waiting(service) == 0


def test_tasks_of_a_request_are_queued_right_after_its_commit(own_service: Service) -> None:
    service = own_service
    with service.api() as api, service.worker("-c", "2") as worker:
        ids = httpx2.post(f"{api.url}/proof/sign-up/ada?welcomes=500", timeout=30).json()
        assert httpx2.post(f"{api.url}/proof/fail/grace").status_code == 500
        wait_until(lambda: sum(service.starts().values()) >= 500, 60, worker.log)
        wait_until(lambda: not waiting(service))
        assert len({event["task_id"] for event in worker.events("task succeeded")} & set(ids)) >= 499
    assert service.starts() == {f"ada {number}": 1 for number in range(500)}


@pytest.mark.slow
def test_with_rabbitmq_too_the_relay_queues_what_a_killed_process_has_committed(
    own_service: Service, rabbit_server: RabbitServer
) -> None:
    service = own_service.set(CELERY_BROKER_URL=rabbit_server.add_virtual_host("outbox"))
    commit_and_die(service, "after the commit", "welcome", 20)
    with service.worker("-c", "2", "-B") as worker:
        wait_until(lambda: len(service.starts()) == 20, 60, worker.log)
        wait_until(lambda: not waiting(service), what=worker.log)
    assert service.starts() == {f"welcome {number}": 1 for number in range(20)}


@pytest.mark.slow
def test_an_api_that_is_killed_under_load_loses_no_task_of_what_it_committed(own_service: Service) -> None:
    service = own_service
    with service.api() as api, service.worker("-c", "2", "-B") as worker:
        answered = asyncio.run(post_until_killed(api))
        signed_up = [key for key in service.written() if ", start " not in key]
        wait_until(lambda: len(service.starts()) >= len(signed_up), 60, worker.log)
        wait_until(lambda: not waiting(service), 30, worker.log)
        relay(service)
    assert answered <= set(signed_up)
    assert service.starts() == {f"{key} 0": 1 for key in signed_up}


async def post_until_killed(api: Api) -> set[str]:
    """The keys of the requests that were answered."""
    answered: set[str] = set()
    keys = iter(range(1000))

    async def post(client: httpx2.AsyncClient) -> None:
        with suppress(httpx2.TransportError):
            for key in keys:
                (await client.post(f"{api.url}/proof/sign-up/{key}")).raise_for_status()
                answered.add(str(key))
                if len(answered) == 100:
                    api.process.kill()

    async with httpx2.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(post(client) for _ in range(10)))
    return answered
