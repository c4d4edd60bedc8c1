"""Redis behind Sentinel: a replica takes over from a master that has died, with nothing started anew."""

import itertools
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servers import WatchedRedis, unavailable, wait_until
from workers.processes import Api, Service

pytestmark = pytest.mark.slow


@pytest.fixture
def watched_redis() -> Iterator[WatchedRedis]:
    program = shutil.which("redis-server")
    if program is None:
        unavailable("Redis (redis-server) is not installed")
    with tempfile.TemporaryDirectory() as folder:
        server = WatchedRedis(program, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def service(new_service: Callable[[], Service], watched_redis: WatchedRedis) -> Service:
    addresses = {"CELERY_BROKER_URL": watched_redis.url(1), "CELERY_RESULT_BACKEND": watched_redis.url(2)}
    return new_service().set(**addresses)


@pytest.mark.parametrize("fault", ["is killed", "hangs"])
def test_tasks_survive_a_failover(service: Service, watched_redis: WatchedRedis, fault: str) -> None:
    accepted: dict[str, str] = {}
    keys = (f"load {number}" for number in itertools.count())

    def queue_some(api: Api, wanted: int) -> None:
        while len(accepted) < wanted:
            key = next(keys)
            address = f"{api.url}/api/v1/tasks/proof.start_and_wait"
            answer = api.client.post(address, json={"key": key, "seconds": 0.05}, timeout=10)
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                accepted[key] = answer.json()["task_id"]

    with service.api() as api, service.worker("-c", "2") as worker:
        queue_some(api, 150)
        running = api.client.post(
            f"{api.url}/api/v1/tasks/proof.start_and_wait", json={"key": "long", "seconds": 15}
        ).json()
        queue_some(api, 200)
        start = time.monotonic()
        if fault == "is killed":
            watched_redis.kill_master()
        else:
            watched_redis.freeze_master()
        queue_some(api, 201)
        print(f"queued again after {time.monotonic() - start:.1f} s")
        wait_until(watched_redis.is_taken_over)
        queue_some(api, 300)
        if fault == "hangs":
            watched_redis.thaw_master()
        wait_until(
            lambda: {api.status(task) for task in [*accepted.values(), running["task_id"]]} == {"SUCCESS"},
            90,
            lambda: (
                api.client.get(f"{api.url}/health/celery").text
                + str(Counter(api.status(task) for task in accepted.values()))
                + worker.log()[-6000:]
            ),
        )
        print(f"all ended after {time.monotonic() - start:.1f} s")
        assert api.client.get(f"{api.url}/health/celery").json()["waiting"]["default"] == 0
        assert worker.stop() == 0

    started = Counter(written.partition(", start ")[0] for written in service.written())
    assert accepted.keys() <= started.keys()
    print("twice", {key: n for key, n in started.items() if n > 1})
    assert sum(started[key] > 1 for key in accepted) <= 4  # those that were held by the worker


@pytest.mark.parametrize("fault", ["is killed", "hangs"])
def test_who_waits_for_a_task_hears_of_its_end_after_a_failover(
    service: Service, watched_redis: WatchedRedis, fault: str
) -> None:
    with service.api() as api, service.worker("-c", "1") as worker, ThreadPoolExecutor() as threads:
        queued = api.client.post(f"{api.url}/api/v1/tasks/proof.walk", json={"steps": 20, "seconds": 20})
        task = f"{api.url}{queued.headers['Location']}"
        wait_until(lambda: worker.events("task started"), what=worker.log)
        stream = threads.submit(api.client.get, f"{task}/events", timeout=60)
        waiting = threads.submit(api.client.get, task, params={"wait": 55}, timeout=60)
        time.sleep(2)  # for both to have asked
        if fault == "is killed":
            watched_redis.kill_master()
        else:
            watched_redis.freeze_master()
        wait_until(watched_redis.is_taken_over)
        assert waiting.result().json()["status"] == "SUCCESS"
        assert "event: end" in stream.result().text
        assert worker.stop() == 0
