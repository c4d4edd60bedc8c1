"""Redis behind Sentinel: a replica takes over from a master that has died, with nothing started anew."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers import WatchedRedis, wait_until
from workers.load import Load
from workers.processes import Service

pytestmark = pytest.mark.slow


@pytest.fixture
def service(new_service: Callable[[], Service], watched_redis: WatchedRedis) -> Service:
    addresses = {"CELERY_BROKER_URL": watched_redis.url(1), "CELERY_RESULT_BACKEND": watched_redis.url(2)}
    return new_service().set(**addresses)


@pytest.mark.parametrize("fault", ["is killed", "hangs"])
def test_tasks_survive_a_failover(service: Service, watched_redis: WatchedRedis, fault: str) -> None:
    with service.api() as api, service.worker("-c", "2") as worker:
        load = Load(api, seconds_of_a_task=0.05)
        load.queue(150)
        running = api.client.post(
            f"{api.url}/api/v1/tasks/proof.start_and_wait", json={"key": "long", "seconds": 15}
        ).json()
        load.queue(200)
        start = time.monotonic()
        if fault == "is killed":
            watched_redis.kill_master()
        else:
            watched_redis.freeze_master()
        load.queue(201)
        print(f"queued again after {time.monotonic() - start:.1f} s")
        wait_until(watched_redis.is_taken_over)
        load.queue(300)
        if fault == "hangs":
            watched_redis.thaw_master()
        # a result that the old master confirms when it wakes up is lost with it: docs/delivery.md
        lost = 2 if fault == "hangs" else 0
        wait_until(
            lambda: (
                sum(n for status, n in load.statuses().items() if status != "SUCCESS") <= lost
                and api.status(running["task_id"]) == "SUCCESS"
            ),
            90,
            lambda: f"{api.client.get(f'{api.url}/health/celery').text}{load.statuses()}{worker.log()[-6000:]}",
        )
        print(f"all ended after {time.monotonic() - start:.1f} s")
        assert api.client.get(f"{api.url}/health/celery").json()["waiting"]["default"] == 0
        assert worker.stop() == 0

    started = service.starts()
    assert load.accepted.keys() <= started.keys()
    print("twice", {key: n for key, n in started.items() if n > 1})
    assert sum(started[key] > 1 for key in load.accepted) <= 4  # those that were held by the worker


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
