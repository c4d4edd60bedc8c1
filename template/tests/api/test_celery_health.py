"""Workers and queues over HTTP."""

import time

import httpx2
from redis import Redis

from app.core.task_keys import WORKERS

HEALTH = "/health/celery"
EMPTY = {"high_priority": 0, "default": 0, "low_priority": 0}


async def test_without_workers_it_is_a_503(shop: httpx2.AsyncClient, redis_server: None) -> None:
    answer = await shop.get(HEALTH)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "no workers",
        "workers": [],
        "waiting": EMPTY,
        "by_priority": {queue: {"9": 0, "6": 0, "3": 0, "0": 0} for queue in EMPTY},
        "unacknowledged": 0,
    }


async def test_with_a_worker_all_is_well(shop: httpx2.AsyncClient, results: Redis) -> None:
    results.zadd(WORKERS, {"worker@here": time.time()})
    answer = await shop.get(HEALTH)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["workers"]) == ("ok", ["worker@here"])


async def test_the_depth_of_each_queue_is_told(shop: httpx2.AsyncClient, redis_server: None) -> None:
    for task in ("users.update_stats", "users.update_stats?priority=9", "reports.activity"):
        assert (await shop.post(f"/api/v1/tasks/{task}")).status_code == 202
    depth = (await shop.get(HEALTH)).json()
    assert depth["waiting"] == EMPTY | {"default": 2, "low_priority": 1}
    assert depth["by_priority"]["default"] == {"9": 1, "6": 1, "3": 0, "0": 0}
