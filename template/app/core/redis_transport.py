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
from celery.worker import state
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.json import dumps, loads
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ResponseError

from app.core.task_delivery import Deliveries, Received, queue_lists, read_received, receive_command
from app.core.task_leases import leases
from app.core.task_record import starts_field
from app.core.task_scripts import BELL

logger = structlog.stdlib.get_logger(__name__)
KombuQoS: Any = redis.QoS  # their stubs lack most of them
KombuChannel: Any = redis.Channel
KombuSentinelChannel: Any = redis.SentinelChannel


class QoS(KombuQoS):  # type: ignore[misc]
    """The messages of one channel that are not acknowledged."""

    def append(self, message: Any, delivery_tag: str) -> None:
        virtual.QoS.append(self, message, delivery_tag)  # in Redis it is noted already

    def ack(self, delivery_tag: str) -> None:
        try:
            self.channel.deliveries.settle(delivery_tag)
        finally:  # it makes room for another message also where Redis was not told: then the lease lapses
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            if requeue:
                self.channel.deliveries.give_back(delivery_tag)
            else:
                self.channel.deliveries.settle(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, client: Any = None) -> None:  # noqa: ARG002 (kombu's signature)
        """The channel is closed: hand back what waits here, and at a cold shutdown also what was broken off.

        After a lost connection tasks run on, and are acknowledged when they have ended.
        """
        for delivery, message in self._delivered.items():
            field = starts_field(message.headers.get("retries") or 0)
            self.channel.deliveries.hand_back(delivery, field, also_started=bool(state.should_terminate))
        self._delivered.clear()

    def restore_visible(self, *_: Any, **__: Any) -> None:
        """See task_leases.py."""

    def held(self) -> list[str]:
        return [delivery for delivery in list(self._delivered) if delivery not in self._dirty]

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
            try:
                self.deliveries.push(key, message, record)
            except OutOfMemoryError as error:  # so that kombu tries again, as when Redis is away
                raise BusyLoadingError from error
        else:
            with self.conn_or_acquire() as client:
                client.lpush(key, dumps(message))

    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 (kombu's signature)
        received = self.deliveries.receive(queue_lists([queue]))
        message = received and self._read(received)
        if not message:
            raise Empty
        return message

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
            connection.send_command("EVAL", *receive_command(queue_lists(queues)))

    def _brpop_read(self, **options: Any) -> bool:
        waited, self._found_nothing = self._found_nothing, False
        self.looked_at = monotonic()
        try:
            answer = self.client.parse_response(self.client.connection, "EVAL", **options)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise
        except ResponseError as error:  # such as a full Redis: the queues stay as they are
            logger.error("Redis hands out no message", error=str(error))
            answer = None
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if waited:
            raise Empty
        received = read_received(answer)
        if not received:
            self._found_nothing = True
            raise Empty
        queue = received.queue.rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        if message := self._read(received):
            self.connection._deliver(message, queue)  # noqa: SLF001 (as kombu does)
        return True

    def _read(self, received: Received) -> Any:
        """The message, which goes by the name of its delivery from now on; None where it is none."""
        try:
            message = loads(received.payload.decode())
            _check_envelope(message)
            if "id" in message["headers"] and not received.delivery:
                raise ValueError("the id of its task, or its tag, is no plain text")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.error("dropped what is no message from a queue", queue=received.queue, error=repr(error))
            if received.delivery:
                self.deliveries.settle(received.delivery)
            return None
        if received.delivery:
            message["properties"]["delivery_tag"] = received.delivery
        return message


class Transport(redis.Transport):
    Channel = Channel
    supports_batch_publish = False


def _check_envelope(message: Any) -> None:
    """Read what kombu reads of a message before anything catches its errors."""
    properties = message["properties"]
    route = properties["delivery_info"]
    for text in (properties["delivery_tag"], route["exchange"], route["routing_key"]):
        text.encode()
    message["headers"].items()
    if encoding := properties.get("body_encoding"):
        Channel.codecs[encoding].decode(message["body"])


class SentinelChannel(Channel, KombuSentinelChannel):  # type: ignore[misc]
    """It asks the sentinels for the master whenever it connects."""


class SentinelTransport(Transport):
    default_port = 26379
    Channel = SentinelChannel


TRANSPORT_ALIASES |= {
    "redis": f"{__name__}:Transport",
    "rediss": f"{__name__}:Transport",
    "sentinel": f"{__name__}:SentinelTransport",
}
