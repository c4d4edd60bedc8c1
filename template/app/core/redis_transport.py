"""kombu's Redis transport, with the steps of task_delivery.py in place of its own.

kombu pops a message and then notes that it has; a worker that dies in between loses it, and one that is merely slow
has its messages taken away. It also ends the worker when something in a queue is no Celery message: kombu 5.7 raises
in the main loop, and one stray LPUSH takes down worker after worker. Such an item is dropped here, and logged.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from queue import Empty
from time import monotonic
from typing import Any

import structlog
from celery.worker.state import active_requests
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.json import dumps, loads
from redis.exceptions import ResponseError

from app.core.task_delivery import BELL, LEASE_SECONDS, RECEIVE, Deliveries, queue_lists
from app.core.task_keys import RECORD_SECONDS
from app.core.task_leases import leases
from app.core.task_record import forget_start

logger = structlog.stdlib.get_logger(__name__)
KombuQoS: Any = redis.QoS  # their stubs lack most of them
KombuChannel: Any = redis.Channel


class QoS(KombuQoS):  # type: ignore[misc]
    """The messages of one channel that are not acknowledged."""

    def append(self, message: Any, delivery_tag: str) -> None:
        virtual.QoS.append(self, message, delivery_tag)  # in Redis it is noted already

    def ack(self, delivery_tag: str) -> None:
        self.channel.deliveries.settle(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if requeue:
            self.channel.deliveries.give_back(delivery_tag)
        else:
            self.channel.deliveries.settle(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002 (kombu's signature)
        """The channel is closed: give back what no task of this worker works on.

        After a lost connection tasks run on, and are acknowledged when they have ended.
        """
        running = {request.id for request in active_requests}
        for tag, message in self._delivered.items():
            task_id = message.headers.get("id")
            if task_id and task_id not in running:
                self.channel.deliveries.give_back(tag)
                forget_start(task_id, message.headers.get("retries") or 0)
        self._delivered.clear()

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """See task_leases.py."""

    def held(self) -> list[str]:
        return [tag for tag in list(self._delivered) if tag not in self._dirty]

    def seconds_idle(self) -> float:
        if not self.can_consume():
            self.channel.looked_at = monotonic()
        idle: float = monotonic() - self.channel.looked_at
        return idle


class Channel(KombuChannel):  # type: ignore[misc]
    QoS = QoS
    _found_nothing = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deliveries = Deliveries(self._create_client())  # its tasks are acknowledged also when it is closed
        self.looked_at = monotonic()

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        if not no_ack:
            leases.follow(self.qos)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def _put(self, queue: str, message: Mapping[str, Any], **_: Any) -> None:
        key = self._q_for_pri(queue, self._get_message_priority(message, reverse=False))
        if "id" in message["headers"]:
            record = {"name": message["headers"]["task"], "queued_at": datetime.now(UTC).isoformat()}
            self.deliveries.push(key, message, record)
        else:
            with self.conn_or_acquire() as client:
                client.lpush(key, dumps(message))

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 (kombu's signature)
        received = self.deliveries.receive(queue_lists([queue]))
        if received is None:
            raise Empty
        return loads(received[1])

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for a message, or, where there was none a moment ago, for the bell; the answer wakes the event loop."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        connection = self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        if self._found_nothing:
            connection.send_command("BRPOP", BELL, timeout or self.brpop_timeout)
        else:
            lists = queue_lists(queues)
            connection.send_command("EVAL", RECEIVE, len(lists), *lists, LEASE_SECONDS, RECORD_SECONDS)

    def _brpop_read(self, **options: Any) -> bool:
        waited, self._found_nothing = self._found_nothing, False
        self.looked_at = monotonic()
        try:
            received = self.client.parse_response(self.client.connection, "EVAL", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        except ResponseError as error:  # Redis is full, or loads its data: it stays as it is, and so do the queues
            logger.error("Redis hands out no message", error=str(error))
            received = None
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if waited:
            raise Empty
        if not received:
            self._found_nothing = True
            raise Empty
        key, payload = received
        queue = key.decode().rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        try:
            message = loads(payload.decode())
        except ValueError as error:  # no JSON, or no text at all
            logger.error("dropped what is no JSON from a queue", error=repr(error))
            return True
        self.connection._deliver(message, queue)  # noqa: SLF001 (as kombu does)
        return True


class Transport(redis.Transport):
    Channel = Channel
    supports_batch_publish = False

    def _deliver(self, message: Any, queue: Any) -> None:
        try:
            _check_envelope(message)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.error("dropped what is no message from a queue", queue=queue, error=repr(error))
            return
        super()._deliver(message, queue)


def _check_envelope(message: Any) -> None:
    """Read what kombu reads of a message before anything catches its errors."""
    properties = message["properties"]
    route = properties["delivery_info"]
    for text in (properties["delivery_tag"], route["exchange"], route["routing_key"]):
        text.encode()
    message["headers"].items()
    if encoding := properties.get("body_encoding"):
        Channel.codecs[encoding].decode(message["body"])


for scheme in ("redis", "rediss"):
    TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
