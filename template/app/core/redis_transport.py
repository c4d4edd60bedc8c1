"""kombu's Redis transport, which goes on when something in a queue is no Celery message.

kombu 5.7 raises in the worker's main loop, and the worker ends: one stray LPUSH takes down worker after worker.
Such an item is off its list already when it is read, so it is logged and dropped.
"""

from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

logger = structlog.stdlib.get_logger(__name__)


class Channel(redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # not in celery-types
        except ValueError as error:  # no JSON, or no text at all
            logger.error("dropped what is no JSON from a queue", error=repr(error))
            return True


class Transport(redis.Transport):
    Channel = Channel

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
