"""The queue as the API sees it: queue, find, list, cancel and replay tasks, and look at the whole; under a deadline."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

from celery import states
from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.core.celery import celery_app
from app.core.config.celery import get_celery_settings
from app.core.redis import open_redis
from app.core.redis_batch import RedisBatch
from app.core.resources import Resource, UnavailableError
from app.core.result_backend import STORE
from app.core.sentinel import is_sentinel, open_master
from app.core.task_keys import ALIVE_SECONDS, LAST_RUNS, RECORD_SECONDS, WORKERS, record_key, result_key
from app.core.task_list import Page, Place, TaskList
from app.core.task_message import NewTask
from app.core.task_publishers import NO_CLAIM, Claim, Depth, KombuPublisher, Publisher, RedisPublisher
from app.core.task_scripts import NOTE_CANCELLATION, NOTE_REPLAY
from app.core.task_state import FIELDS, Status, TaskState, cancelled_meta, read_next_state, read_task_state
from app.core.task_watch import TaskWatch

MAX_CONNECTIONS = 50
"""To each of the two databases, from one API process."""


class TooManyTasksError(Exception):
    """The owner has as many unfinished tasks as it may have."""


class KeyReusedError(Exception):
    """An idempotency key came a second time, with something else."""


class NotReplayableError(Exception):
    """The message says why."""


class TaskQueue:
    """Every method raises UnavailableError when the broker or Redis has not answered within the deadline."""

    def __init__(self, publisher: Publisher, records: Redis, results: Redis, deadline: float) -> None:
        self._publisher = publisher
        self._records = records
        self._results = results
        self._records_batch = RedisBatch(records)
        self._results_batch = RedisBatch(results)
        self._list = TaskList(records, results)
        self._watch = TaskWatch(results)
        self._deadline = deadline

    async def enqueue(self, new: NewTask, *, claim: Claim = NO_CLAIM, limit: int | None = None) -> str:
        """Queue it, and record it. Returns its id, or that of the task which has the claim already.

        With an id that was queued before nothing happens where the broker is Redis. TooManyTasksError where its owner
        has `limit` unfinished ones; KeyReusedError where the claim is for something else.
        """
        answer = await self._in_time(self._publisher.publish(new, claim, limit))
        if answer.outcome == "full":
            raise TooManyTasksError
        if answer.outcome == "reused":
            raise KeyReusedError
        task_id: str = answer.task_id
        return task_id

    async def find(self, task_id: str) -> TaskState | None:
        """The task as it stands, or None if no task with this id was queued here."""
        record, stored = await self._in_time(
            asyncio.gather(
                self._records_batch.execute("HMGET", record_key(task_id), *FIELDS),
                self._results_batch.execute("GET", result_key(task_id)),
            )
        )
        return read_task_state(task_id, record, stored)

    async def follow(self, state: TaskState) -> AsyncGenerator[TaskState]:
        """The task from this state on: first that, then what comes, up to the end. Who is slow gets fewer steps.

        It waits for Redis while that is away. It stops short of the end where `end_watching` was called.
        """
        yield state
        if state.finished:
            return
        with self._watch.watch(state.task_id) as watcher:
            async for stored in watcher:
                following = read_next_state(state, stored)
                if following.finished or (following.version >= state.version and following != state):
                    yield following
                    state = following
                if following.finished:
                    return

    def end_watching(self) -> None:
        """What follows a task stops, and does so at once from here on."""
        self._watch.end()

    async def aclose(self) -> None:
        await self._watch.aclose()

    async def list_tasks(
        self, owner: str | None, *, status: Status | None, name: str | None, limit: int, after: Place | None
    ) -> Page:
        """The newest tasks of an owner, or of all."""
        page: Page = await self._in_time(self._list.read(owner, status=status, name=name, limit=limit, after=after))
        return page

    async def cancel(self, task: TaskState) -> bool:
        """Keep it from starting, and let workers stop it if it runs. False if it had ended already.

        What is stored of it stays: whatever a worker stores later is left out.
        """
        await self._in_time(self._records.eval(NOTE_CANCELLATION, 0, task.task_id))
        stored: list[Any] = [states.REVOKED, json.dumps(cancelled_meta(task)), get_celery_settings().result_expires]
        stands: str = await self._in_time(self._results.eval(STORE, 1, result_key(task.task_id), *stored))
        return stands == states.REVOKED

    async def replay(self, task: TaskState) -> str:
        """Queue a new task with the arguments of one that failed; a second time it answers with the same new one."""
        if task.status != states.FAILURE:
            raise NotReplayableError(f"Task {task.task_id} did not fail: it is {task.status}.")
        arguments = await self._in_time(self._records_batch.execute("HGET", record_key(task.task_id), "arguments"))
        if not arguments or task.name not in celery_app.tasks:
            raise NotReplayableError(f"The arguments of task {task.task_id} are not known, or there is no {task.name}.")
        args, kwargs = json.loads(arguments)
        new = NewTask(celery_app.tasks[task.name], kwargs, args=tuple(args), owner=task.owner)
        task_id = await self.enqueue(new, claim=Claim(f"replay:{task.task_id}", "", RECORD_SECONDS))
        await self._in_time(self._records_batch.execute("EVAL", NOTE_REPLAY, 0, task.task_id, task_id))
        return task_id

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
            async with (
                client(settings.broker_url) as broker,
                aclosing(TaskQueue(RedisPublisher(celery_app, broker), broker, results, deadline)) as queue,
            ):
                yield queue
        else:
            publisher = KombuPublisher(celery_app, results, deadline)
            async with aclosing(TaskQueue(publisher, results, results, deadline)) as queue:
                yield queue


task_queue = Resource("task queue", _open_task_queue, TaskQueue.check)
