"""Workers and queues over HTTP."""

import time

import httpx2
from redis import Redis

from app.core.task_keys import WORKERS

HEALTH = "/health/celery"
EMPTY = {"high_priority": 0, "default": 0, "low_priority": 0}


async def test_without_workers_it_is_a_503(client: httpx2.AsyncClient, redis_server: None) -> None:
    answer = await client.get(HEALTH)
    assert answer.status_code == 503
    assert answer.json() == {"status": "no workers", "workers": [], "waiting": EMPTY, "unacknowledged": 0}


async def test_with_a_worker_all_is_well(client: httpx2.AsyncClient, results: Redis) -> None:
    results.zadd(WORKERS, {"worker@here": time.time()})
    answer = await client.get(HEALTH)
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["workers"]) == ("ok", ["worker@here"])


async def test_the_depth_of_each_queue_is_told(client: httpx2.AsyncClient, redis_server: None) -> None:
    for task in ("users.update_stats", "users.update_stats", "reports.activity"):
        assert (await client.post(f"/api/v1/tasks/{task}")).status_code == 202
    assert (await client.get(HEALTH)).json()["waiting"] == EMPTY | {"default": 2, "low_priority": 1}
