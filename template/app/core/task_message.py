"""Celery messages for Redis, built without a connection.

Celery and kombu do all the work (routing, headers, signals, serialisation, envelope); only the last step, kombu's
write to Redis, is replaced: what it would have written is handed to the caller, to be sent without blocking.
"""

from typing import Any, NamedTuple

from celery import Celery, Task
from kombu import Connection, Producer
from kombu.transport import redis, virtual


class Outgoing(NamedTuple):
    key: str
    """The Redis list that the message belongs into, or the channel that all workers listen on."""
    message: dict[str, Any]


class _Channel(redis.Channel):
    """kombu's Redis channel, with a list in place of the server."""

    def __init__(self, connection: Any, **options: Any) -> None:
        virtual.Channel.__init__(self, connection, **options)
        self.keyprefix_fanout = self.keyprefix_fanout.format(db=connection.client.virtual_host or 0)
        self.written: list[Outgoing] = []

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        priority = self._get_message_priority(message, reverse=False)
        self.written.append(Outgoing(self._q_for_pri(queue, priority), message))  # type: ignore[attr-defined]  # not in celery-types

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **_: Any) -> None:
        self.written.append(Outgoing(self._get_publish_topic(exchange, routing_key), message))  # type: ignore[attr-defined]  # not in celery-types


class _Transport(virtual.Transport):
    Channel = _Channel


class MessageBuilder:
    """For one thread. It costs no I/O, so an event loop may use it."""

    def __init__(self, app: Celery[Any]) -> None:
        connection = Connection(transport=_Transport, virtual_host=app.connection_for_write().virtual_host)
        self._channel: Any = connection.default_channel
        self._producer = Producer(self._channel, auto_declare=False)
        self._mailbox: Any = app.control.mailbox(connection)  # type: ignore[attr-defined]  # not in celery-types
        self._mailbox.producer_pool = None  # it would take a producer that is connected to the broker

    def task(self, task: Task[..., Any], kwargs: dict[str, Any]) -> Outgoing:
        """What `task.apply_async(kwargs=kwargs)` would have pushed; the new task's id is in its headers."""
        options: dict[str, Any] = {"producer": self._producer, "declare": []}
        task.apply_async(kwargs=kwargs, **options)
        return self._take()

    def revoke(self, task_id: str) -> Outgoing:
        """What `app.control.revoke(task_id, terminate=True)` would have published to the workers."""
        self._mailbox.abcast("revoke", {"task_id": task_id, "terminate": True, "signal": "SIGTERM"})
        return self._take()

    def _take(self) -> Outgoing:
        written: Outgoing
        (written,) = self._channel.written
        self._channel.written.clear()
        return written
