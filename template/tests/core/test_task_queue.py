"""The queue as the API sees it."""

import json
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from app.core.celery import celery_app
from app.core.redis import open_redis
from app.core.resources import UnavailableError
from app.core.task_keys import ALIVE_SECONDS, LAST_RUNS, WORKERS, record_key, result_key
from app.core.task_message import NewTask
from app.core.task_publishers import RedisPublisher
from app.core.task_queue import TaskQueue
from app.core.task_state import TaskState
from app.tasks import reports, system, users

DEADLINE = 0.1
WAITING = TaskState(
    task_id="0198c7a4",
    name="system.heartbeat",
    owner="shop",
    status="PENDING",
    progress=None,
    result=None,
    error=None,
    queued_at="2026-05-04T12:00:00+00:00",
    started_at=None,
    finished_at=None,
    retries=0,
)
CALLS: dict[str, Callable[[TaskQueue], Coroutine[Any, Any, Any]]] = {
    "enqueue": lambda queue: queue.enqueue(NewTask(system.heartbeat, {})),
    "find": lambda queue: queue.find(str(uuid.uuid4())),
    "list": lambda queue: queue.list_tasks("shop", status=None, name=None, limit=5, after=None),
    "cancel": lambda queue: queue.cancel(WAITING),
    "replay": lambda queue: queue.replay(replace(WAITING, status="FAILURE")),
    "workers": TaskQueue.workers,
    "last_runs": TaskQueue.last_runs,
    "depth": TaskQueue.depth,
    "check": TaskQueue.check,
}


async def test_a_queued_task_waits_in_its_queue_and_is_known(queue: TaskQueue, broker: Redis) -> None:
    task_id = await queue.enqueue(NewTask(system.heartbeat, {}))
    (message,) = broker.lrange("high_priority", 0, -1)
    assert json.loads(message)["headers"]["id"] == task_id
    found = await queue.find(task_id)
    assert found
    assert (found.task_id, found.name, found.status) == (task_id, "system.heartbeat", "PENDING")


async def test_a_record_is_not_kept_for_ever(queue: TaskQueue, broker: Redis) -> None:
    task_id = await queue.enqueue(NewTask(system.heartbeat, {}))
    assert 24 * 3600 < broker.ttl(record_key(task_id)) <= 30 * 24 * 3600


async def test_a_task_that_was_never_queued_is_unknown(queue: TaskQueue, results: Redis) -> None:
    task_id = str(uuid.uuid4())
    assert await queue.find(task_id) is None
    results.set(result_key(task_id), json.dumps({"status": "SUCCESS", "result": 7}))  # by somebody else
    assert await queue.find(task_id) is None


async def test_what_a_worker_stores_is_found(queue: TaskQueue, results: Redis) -> None:
    task_id = await queue.enqueue(NewTask(system.heartbeat, {}))
    results.set(result_key(task_id), json.dumps({"status": "SUCCESS", "result": 7}))
    found = await queue.find(task_id)
    assert found
    assert (found.status, found.result) == ("SUCCESS", 7)


async def test_the_depth_counts_each_queue_over_its_priorities(queue: TaskQueue, broker: Redis) -> None:
    await queue.enqueue(NewTask(system.heartbeat, {}))
    await queue.enqueue(NewTask(reports.activity, {}))
    await queue.enqueue(NewTask(users.cleanup, {"unused_for_days": 1}))
    broker.hset("unacked", "tag", "message")
    depth = await queue.depth()
    assert depth.waiting == {"high_priority": 1, "default": 0, "low_priority": 2}
    assert depth.by_priority
    assert depth.by_priority["low_priority"] == {9: 0, 6: 0, 3: 1, 0: 1}
    assert depth.by_priority["high_priority"] == {9: 1, 6: 0, 3: 0, 0: 0}
    assert depth.unacknowledged == 1


async def test_only_workers_that_were_heard_of_lately_are_alive(queue: TaskQueue, results: Redis) -> None:
    now = time.time()
    results.zadd(WORKERS, {"worker@here": now, "worker@gone": now - ALIVE_SECONDS - 1})
    assert await queue.workers() == ["worker@here"]


async def test_the_last_runs_are_what_beat_noted(queue: TaskQueue, results: Redis) -> None:
    results.hset(LAST_RUNS, "heartbeat", "2026-05-04T12:00:00+00:00")
    assert await queue.last_runs() == {"heartbeat": "2026-05-04T12:00:00+00:00"}


async def test_it_answers_when_checked(queue: TaskQueue) -> None:
    await queue.check()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("address", ["hanging_url", "refusing_url"])
async def test_a_redis_that_is_away_is_unavailable_in_time(
    request: pytest.FixtureRequest, address: str, call: str
) -> None:
    started = time.monotonic()
    async with open_redis(request.getfixturevalue(address), patience=60, max_connections=5) as client:
        queue = TaskQueue(RedisPublisher(celery_app, client), client, client, DEADLINE)
        with pytest.raises(UnavailableError):
            await CALLS[call](queue)
    assert time.monotonic() - started < DEADLINE + 0.5
