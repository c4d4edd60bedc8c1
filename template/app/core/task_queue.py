"""The queue as the API sees it: queue, find and cancel tasks, and look at the whole; awaited, under a deadline."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from celery import Task
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.core.celery import celery_app
from app.core.config.celery import get_celery_settings
from app.core.redis import open_redis
from app.core.resources import Resource, UnavailableError
from app.core.sentinel import is_sentinel, open_master
from app.core.task_keys import ALIVE_SECONDS, LAST_RUNS, RECORD_SECONDS, WORKERS, record_key, result_key
from app.core.task_publishers import Depth, KombuPublisher, Publisher, RedisPublisher
from app.core.task_state import TaskState, read_task_state

MAX_CONNECTIONS = 50
"""To each of the two databases, from one API process."""


class TaskQueue:
    """Every method raises UnavailableError when the broker or Redis has not answered within the deadline."""

    def __init__(self, publisher: Publisher, records: Redis, results: Redis, deadline: float) -> None:
        self._publisher = publisher
        self._records = records
        self._results = results
        self._deadline = deadline

    async def enqueue(self, task: Task[..., Any], kwargs: dict[str, Any]) -> str:
        """Queue it as `task.apply_async(kwargs=kwargs)` would, and record it. Returns its id."""
        record = {"name": task.name, "queued_at": datetime.now(UTC).isoformat()}
        task_id: str = await self._in_time(self._publisher.publish(task, kwargs, record))
        return task_id

    async def find(self, task_id: str) -> TaskState | None:
        """The task as it stands, or None if no task with this id was queued here."""
        record, stored = await self._in_time(
            asyncio.gather(
                self._records.hmget(record_key(task_id), "name", "queued_at", "cancelled"),
                self._results.get(result_key(task_id)),
            )
        )
        name, queued_at, cancelled = record
        if name is None:
            return None
        return read_task_state(task_id, name, queued_at, stored, cancelled=cancelled is not None)

    async def cancel(self, task_id: str) -> None:
        """Keep it from starting, even where no worker is up to hear of it, and stop it if it runs (prefork pool)."""
        await self._in_time(self._mark_as_cancelled(record_key(task_id)))
        await self._in_time(self._publisher.revoke(task_id))

    async def _mark_as_cancelled(self, key: str) -> None:
        async with self._records.pipeline(transaction=True) as transaction:
            transaction.hset(key, "cancelled", "1")
            transaction.expire(key, RECORD_SECONDS)
            await transaction.execute()

    async def workers(self) -> list[str]:
        """The names of the workers that are alive."""
        alive_since = time.time() - ALIVE_SECONDS
        names: list[str] = await self._in_time(self._results.zrange(WORKERS, alive_since, "+inf", byscore=True))
        return names

    async def last_runs(self) -> dict[str, str]:
        """When beat last queued each entry of its schedule, ISO 8601 in UTC."""
        last_runs: dict[str, str] = await self._in_time(self._results.hgetall(LAST_RUNS))
        return last_runs

    async def depth(self) -> Depth:
        depth: Depth = await self._in_time(self._publisher.depth())
        return depth

    async def check(self) -> None:
        await self._in_time(asyncio.gather(self._records.ping(), self._results.ping()))

    async def _in_time(self, answer: Awaitable[Any]) -> Any:
        # not `asyncio.timeout`: redis-py can lose a cancellation that meets a timeout of its own, and waits on
        asking = asyncio.ensure_future(answer)
        asking.add_done_callback(lambda late: late.cancelled() or late.exception())  # which nobody would ask for
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._deadline)
            if not done:
                raise TimeoutError
            return asking.result()
        except (RedisError, OperationalError, OSError) as error:
            raise UnavailableError("The task queue is not available; try again soon.") from error
        finally:
            asking.cancel()


@asynccontextmanager
async def _open_task_queue() -> AsyncIterator[TaskQueue]:
    settings = get_celery_settings()
    deadline = settings.queue_deadline
    timeouts = {"socket_timeout": deadline, "socket_connect_timeout": deadline}

    def client(url: str) -> AbstractAsyncContextManager[Redis]:
        if is_sentinel(url):
            master: Redis = open_master(Sentinel, url, decode_responses=True, retry=Retry(NoBackoff(), 0), **timeouts)
            return master
        return open_redis(url, patience=deadline, max_connections=MAX_CONNECTIONS)

    async with client(settings.result_backend) as results:
        if settings.broker_is_redis:
            async with client(settings.broker_url) as broker:
                yield TaskQueue(RedisPublisher(celery_app, broker), broker, results, deadline)
        else:
            yield TaskQueue(KombuPublisher(celery_app, results, deadline), results, results, deadline)


task_queue = Resource("task queue", _open_task_queue, TaskQueue.check)
