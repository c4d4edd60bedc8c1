"""Two ways to send to the broker without blocking the event loop: awaited for Redis, in threads for any other."""

import asyncio
import contextvars
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from celery import Celery, Task
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel
from kombu.utils.json import dumps
from redis.asyncio import Redis

from app.core.task_delivery import push_command, queue_lists
from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.task_message import MessageBuilder

T = TypeVar("T")
Record = dict[str, str]

THREADS = 8
"""That send at the same time, to a broker other than Redis."""


@dataclass(frozen=True)
class Depth:
    waiting: dict[str, int]
    """Messages by queue, over all priorities."""
    unacknowledged: int | None
    """Handed to a worker and not finished; None where the broker does not tell."""


class Publisher(Protocol):
    async def publish(self, task: Task[..., Any], kwargs: dict[str, Any], record: Record) -> str:
        """Queue the task and keep its record; returns the task's id."""
        ...

    async def revoke(self, task_id: str) -> None:
        """Tell all workers to drop the task, or to stop it."""
        ...

    async def depth(self) -> Depth: ...


class RedisPublisher:
    """Record and message reach Redis in one step: neither is ever there without the other."""

    def __init__(self, app: Celery[Any], broker: Redis) -> None:
        self._app = app
        self._messages = MessageBuilder(app)
        self._broker = broker

    async def publish(self, task: Task[..., Any], kwargs: dict[str, Any], record: Record) -> str:
        key, message = self._messages.task(task, kwargs)
        await self._broker.eval(*push_command(key, message, record))
        task_id: str = message["headers"]["id"]
        return task_id

    async def revoke(self, task_id: str) -> None:
        key, message = self._messages.revoke(task_id)
        await self._broker.publish(key, dumps(message))

    async def depth(self) -> Depth:
        queues = list(self._app.amqp.queues)
        async with self._broker.pipeline(transaction=False) as pipeline:
            for queue in queues:
                for key in queue_lists([queue]):
                    pipeline.llen(key)
            pipeline.hlen(Channel.unacked_key)
            *lengths, unacknowledged = await pipeline.execute()
        steps = len(Channel.priority_steps)
        waiting = {queue: sum(lengths[i * steps : (i + 1) * steps]) for i, queue in enumerate(queues)}
        return Depth(waiting, unacknowledged)


class KombuPublisher:
    """Celery's own blocking calls in a few threads. The record is written first: a message without one is unknown."""

    def __init__(self, app: Celery[Any], records: Redis, patience: float) -> None:
        self._app = app
        self._records = records
        self._patience = patience
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="publish")
        once: dict[str, Any] = {"connect_timeout": patience, "transport_options": {"max_retries": 0}}
        self._connections: Any = app.connection_for_write(**once).Pool(THREADS)  # its stubs lack most of it

    async def publish(self, task: Task[..., Any], kwargs: dict[str, Any], record: Record) -> str:
        task_id = str(uuid.uuid4())
        async with self._records.pipeline(transaction=True) as transaction:
            transaction.hset(record_key(task_id), mapping=dict[Any, Any](record))
            transaction.expire(record_key(task_id), RECORD_SECONDS)
            await transaction.execute()
        await self._in_thread(self._send, task, kwargs, task_id)
        return task_id

    async def revoke(self, task_id: str) -> None:
        await self._in_thread(self._revoke, task_id)

    async def depth(self) -> Depth:
        return Depth(await self._in_thread(self._count_waiting), unacknowledged=None)

    def _send(self, connection: Any, task: Task[..., Any], kwargs: dict[str, Any], task_id: str) -> None:
        # not a second time by itself: what was not confirmed may have arrived all the same
        options = {"connection": connection, "retry": False}
        options |= {"timeout": self._patience, "confirm_timeout": self._patience}
        task.apply_async(kwargs=kwargs, task_id=task_id, **options)

    def _revoke(self, connection: Any, task_id: str) -> None:
        self._app.control.revoke(task_id, terminate=True, connection=connection)

    def _count_waiting(self, connection: Any) -> dict[str, int]:
        queues: dict[str, Any] = self._app.amqp.queues
        return {name: queue(connection).queue_declare().message_count for name, queue in queues.items()}

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        context = contextvars.copy_context()  # the request id travels with the message
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: context.run(self._connected, call, *arguments)
        )

    def _connected(self, call: Callable[..., T], *arguments: Any) -> T:
        with self._connections.acquire(block=True) as connection:
            _close_if_lost(connection)
            try:
                return call(connection, *arguments)
            except (OperationalError, *connection.connection_errors, *connection.channel_errors) as error:
                connection.collect()  # a late answer would be taken for that to the next question
                raise OperationalError(str(error)) from error


def _close_if_lost(connection: Any) -> None:
    """The broker may have been restarted since it was last used; it is opened again by its next use."""
    if connection.connected:
        try:
            connection.drain_events(timeout=0)
        except TimeoutError:  # it has nothing to say
            return
        except connection.connection_errors:
            connection.collect()
