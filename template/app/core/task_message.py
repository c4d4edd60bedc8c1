"""Celery messages for Redis, built without a connection.

Celery and kombu do all the work (routing, headers, signals, serialisation, envelope); only the last step, kombu's
write to Redis, is replaced: what it would have written is handed to the caller, to be sent without blocking.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from celery import Celery, Task
from kombu import Connection, Producer
from kombu.transport import redis, virtual

from app.core import brokers
from app.core.config.celery import get_celery_settings
from app.core.task_owner import owner


@dataclass(frozen=True)
class NewTask:
    """What is to be queued."""

    task: Task[..., Any]
    arguments: dict[str, Any]
    """By name; ..."""
    args: tuple[Any, ...] = ()
    """... and those that a program has given by their place."""
    task_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    owner: str | None = None
    eta: datetime | None = None
    """Not to start before."""
    priority: int | None = None
    """0 to 9, 9 being the most urgent; the task's own unless given."""

    def send(self, **options: Any) -> None:
        """What it comes to in Celery's words."""
        options["root_id"] = self.task_id  # also where another task sends it, such as the relay of the outbox
        if self.eta:
            options["eta"] = self.eta
        if self.priority is not None:
            options["priority"] = brokers.priority(get_celery_settings(), self.priority)
        token = owner.set(self.owner)
        try:
            self.task.apply_async(self.args, self.arguments, task_id=self.task_id, **options)
        finally:
            owner.reset(token)


class Outgoing(NamedTuple):
    key: str
    """The Redis list that the message belongs into."""
    message: dict[str, Any]


class _Channel(redis.Channel):
    """kombu's Redis channel, with a list in place of the server."""

    def __init__(self, connection: Any, **options: Any) -> None:
        virtual.Channel.__init__(self, connection, **options)
        self.written: list[Outgoing] = []

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        priority = self._get_message_priority(message, reverse=False)
        self.written.append(Outgoing(self._q_for_pri(queue, priority), message))  # type: ignore[attr-defined]  # not in celery-types


class _Transport(virtual.Transport):
    Channel = _Channel


class MessageBuilder:
    """For one thread. It costs no I/O, so an event loop may use it."""

    def __init__(self, app: Celery[Any]) -> None:
        connection = Connection(transport=_Transport, virtual_host=app.connection_for_write().virtual_host)
        self._channel: Any = connection.default_channel
        self._producer = Producer(self._channel, auto_declare=False)

    def task(self, new: NewTask) -> Outgoing:
        """What Celery would have pushed."""
        new.send(producer=self._producer, declare=[])
        written: Outgoing
        (written,) = self._channel.written
        self._channel.written.clear()
        return written
