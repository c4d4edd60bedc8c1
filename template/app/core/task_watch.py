"""Tells those who watch tasks in this process how they go on, by one subscription to Celery's own result channels."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.core.task_keys import result_key

logger = structlog.stdlib.get_logger(__name__)

QUIET_SECONDS = 2.0
"""A connection that says nothing for so long is asked whether it is there; after twice as long it counts as lost."""
PAUSE_SECONDS = 0.5
"""Between a connection that was lost and the next."""
PAGE = 100
"""States that are read at once."""


class Watcher:
    """Iterates over what is stored of one task, from now on. It keeps the newest only: who is slow gets fewer steps."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._newest: str | None = None
        self._ended = False

    def tell(self, stored: str) -> None:
        if stored != self._newest:
            self._newest = stored
            self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def __aiter__(self) -> "Watcher":
        return self

    async def __anext__(self) -> str:
        await self._news.wait()
        self._news.clear()
        if self._ended or self._newest is None:
            raise StopAsyncIteration
        return self._newest


@dataclass
class Watched:
    watchers: set[Watcher] = field(default_factory=set)
    newest: str | None = None


class TaskWatch:
    """The first watcher of a task subscribes to its channel, the last one unsubscribes.

    What is stored of a task is read once its channel is subscribed to, so nothing is missed; and so again after a
    connection was lost. Nothing connects before the first watcher; some seconds after the last nothing is left.
    """

    def __init__(self, results: Redis) -> None:
        self._results = results
        self._watched: dict[str, Watched] = {}
        self._subscribed: set[str] = set()
        self._unread: set[str] = set()
        self._being_read: set[str] = set()
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._ended = False

    @contextmanager
    def watch(self, task_id: str) -> Iterator[Watcher]:
        channel, watcher = result_key(task_id), Watcher()
        if self._ended:
            watcher.end()
        if channel not in self._watched:
            self._watched[channel] = Watched()
            if channel in self._subscribed:  # still: its last watcher has just gone
                self._unread.add(channel)
            self._changed.set()
        watched = self._watched[channel]
        watched.watchers.add(watcher)
        if watched.newest is not None:
            watcher.tell(watched.newest)
        self._ensure_listening()
        try:
            yield watcher
        finally:
            watched.watchers.remove(watcher)
            if not watched.watchers:
                del self._watched[channel]
                self._unread.discard(channel)
                self._changed.set()

    def end(self) -> None:
        """End all watches, and those to come at once."""
        self._ended = True
        for watched in self._watched.values():
            for watcher in watched.watchers:
                watcher.end()

    async def aclose(self) -> None:
        self.end()
        if self._listening:
            self._listening.cancel()
            await asyncio.wait({self._listening})

    def _ensure_listening(self) -> None:
        if not self._ended and (self._listening is None or self._listening.done()):
            self._listening = asyncio.create_task(
                self._listen(),
                name="task watch",
                context=Context(),  # not that of the request which happens to be the first
            )

    async def _listen(self) -> None:
        away = False
        while self._watched and not self._ended:
            try:
                async with self._results.pubsub() as pubsub:
                    await pubsub.connect()
                    if away:
                        away = False
                        logger.info("the channels of results are back")
                    async with asyncio.TaskGroup() as both:
                        keeping_up = both.create_task(self._keep_up(pubsub), name="task watch")
                        await self._receive(pubsub)
                        keeping_up.cancel()
            except Exception as error:  # noqa: BLE001 (whatever it is: who watches must not wait for ever)
                if not away:
                    away = True
                    logger.warning("the channels of results are away", error=_first(error))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _receive(self, pubsub: PubSub) -> None:
        """Until nobody watches any more."""
        asked = False
        while not _is_cancelled():
            message = await pubsub.get_message(timeout=QUIET_SECONDS)
            if message:
                self._take(message)
                asked = False
                await asyncio.sleep(0)  # what has arrived already is read without a pause
            elif not self._watched or self._ended:
                return
            elif asked:
                raise ConnectionError(f"Redis has not answered for {QUIET_SECONDS} seconds")
            else:
                await pubsub.ping()
                asked = True

    def _take(self, message: dict[str, Any]) -> None:
        channel = message["channel"]
        if channel not in self._watched:
            return
        if message["type"] == "subscribe":
            self._unread.add(channel)
            self._changed.set()
        elif message["type"] == "message":
            # it is newer than what is being read
            self._unread.discard(channel)
            self._being_read.discard(channel)
            self._tell(channel, message["data"])

    def _tell(self, channel: str, stored: str) -> None:
        watched = self._watched[channel]
        watched.newest = stored
        for watcher in watched.watchers:
            watcher.tell(stored)

    async def _keep_up(self, pubsub: PubSub) -> None:
        """Subscribe to what is watched and to nothing else."""
        self._subscribed = set()
        self._unread.clear()
        while not _is_cancelled():
            self._changed.clear()
            watched = set(self._watched)
            if gone := self._subscribed - watched:
                await pubsub.unsubscribe(*gone)
            if new := watched - self._subscribed:
                await pubsub.subscribe(*new)
            self._subscribed = watched
            await self._read()
            if not _is_cancelled():
                await self._changed.wait()

    async def _read(self) -> None:
        while self._unread and not _is_cancelled():
            page = [self._unread.pop() for _ in range(min(PAGE, len(self._unread)))]
            self._being_read = set(page)
            answer: list[Any] = await self._results.mget(page)
            for channel, stored in zip(page, answer, strict=True):
                if stored is not None and channel in self._being_read and channel in self._watched:
                    self._tell(channel, stored)


def _is_cancelled() -> bool:
    """redis-py can lose a cancellation that meets a timeout of its own, and goes on."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _first(error: BaseException) -> str:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else repr(error)
