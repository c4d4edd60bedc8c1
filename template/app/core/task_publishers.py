"""Two ways to send to the broker without blocking the event loop: awaited for Redis, in threads for any other."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.transport.redis import Channel
from kombu.utils.json import dumps
from redis.asyncio import Redis

from app.core.config.celery import get_celery_settings
from app.core.redis_batch import RedisBatch
from app.core.task_delivery import queue_lists
from app.core.task_keys import record_key
from app.core.task_message import MessageBuilder, NewTask
from app.core.task_scripts import ENQUEUE, ENTER

T = TypeVar("T")

THREADS = 8
"""That send at the same time, to a broker other than Redis."""


@dataclass(frozen=True)
class Claim:
    """A task that is queued under this key is the only one, for as long as the claim lasts."""

    key: str
    is_for: str
    """What the key may be used for again."""
    seconds: int


NO_CLAIM = Claim("", "", 1)


class Answer(NamedTuple):
    outcome: Literal["queued", "claimed", "reused", "full"]
    """claimed: by an earlier task, which was queued for the same; reused: for something else; full: over the limit."""
    task_id: str


@dataclass(frozen=True)
class Depth:
    waiting: dict[str, int]
    """Messages by queue, over all priorities."""
    by_priority: dict[str, dict[int, int]] | None
    """The same by priority, 9 being the most urgent; None where the broker does not tell."""
    unacknowledged: int | None
    """Handed to a worker and not finished; None where the broker does not tell."""


class Publisher(Protocol):
    async def publish(self, new: NewTask, claim: Claim = NO_CLAIM, limit: int | None = None) -> Answer:
        """Queue the task and keep its record, unless the claim or the limit on its owner's unfinished ones forbids."""
        ...

    async def depth(self) -> Depth: ...


def _record(new: NewTask) -> list[str]:
    return ["name", new.task.name, "queued_at", datetime.now(UTC).isoformat()]


class RedisPublisher:
    """Record, claim and message reach Redis in one step: none is ever there without the others."""

    def __init__(self, app: Celery[Any], broker: Redis) -> None:
        self._app = app
        self._messages = MessageBuilder(app)
        self._broker = broker
        self._batch = RedisBatch(broker)

    async def publish(self, new: NewTask, claim: Claim = NO_CLAIM, limit: int | None = None) -> Answer:
        key, message = self._messages.task(new)
        kept = get_celery_settings().result_expires
        arguments: list[Any] = [dumps(message), kept, limit or "", claim.is_for, claim.seconds, *_record(new)]
        return Answer(*await self._batch.execute("EVAL", ENQUEUE, 2, key, claim.key, *arguments))

    async def depth(self) -> Depth:
        queues = list(self._app.amqp.queues)
        async with self._broker.pipeline(transaction=False) as pipeline:
            for key in queue_lists(queues):  # by priority, and in each by queue
                pipeline.llen(key)
            pipeline.hlen(Channel.unacked_key)
            *lengths, unacknowledged = await pipeline.execute()
        by_priority = {
            queue: {
                9 - step: length for step, length in zip(Channel.priority_steps, lengths[i :: len(queues)], strict=True)
            }
            for i, queue in enumerate(queues)
        }
        waiting = {queue: sum(lengths.values()) for queue, lengths in by_priority.items()}
        return Depth(waiting, by_priority, unacknowledged)


class KombuPublisher:
    """Celery's own blocking calls in a few threads. The record is written first: a message without one is unknown."""

    def __init__(self, app: Celery[Any], records: Redis, patience: float) -> None:
        self._app = app
        self._records = records
        self._patience = patience
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="publish")
        once: dict[str, Any] = {"connect_timeout": patience, "transport_options": {"max_retries": 0}}
        self._connections: Any = app.connection_for_write(**once).Pool(THREADS)  # its stubs lack most of it

    async def publish(self, new: NewTask, claim: Claim = NO_CLAIM, limit: int | None = None) -> Answer:
        """Where it is not known whether the message was sent, the next one with the same claim sends it again."""
        kept = get_celery_settings().result_expires
        about: list[Any] = [new.task_id, kept, limit or "", claim.is_for, claim.seconds, new.owner or ""]
        answer = Answer(*await self._records.eval(ENTER, 1, claim.key, *about, *_record(new), "sent", ""))
        if answer.outcome == "claimed" and await self._records.hget(record_key(answer.task_id), "sent") == "":
            new = replace(new, task_id=answer.task_id)
        elif answer.outcome != "queued":
            return answer
        await self._in_thread(self._send, new)
        await self._records.hset(record_key(new.task_id), "sent", "1")
        return answer

    async def depth(self) -> Depth:
        return Depth(await self._in_thread(self._count_waiting), by_priority=None, unacknowledged=None)

    def _send(self, connection: Any, new: NewTask) -> None:
        # not a second time by itself: what was not confirmed may have arrived all the same
        new.send(connection=connection, retry=False, timeout=self._patience, confirm_timeout=self._patience)

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
