"""Redis as workers and beat look into it: blocking clients that try once, and give up soon.

Whoever uses one goes on without an answer. What has to be written down waits for Redis instead: see result_backend.py.
"""

from functools import cache
from typing import Any

from redis import Redis
from redis._parsers import BaseParser
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, OutOfMemoryError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.core.config.celery import get_celery_settings
from app.core.sentinel import is_sentinel, open_master

# a Redis that takes no writes, for want of disk or of replicas, is as good as away
BaseParser.EXCEPTION_CLASSES |= {"MISCONF": BusyLoadingError, "NOREPLICAS": BusyLoadingError}
OUTAGES = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError)
"""What passes, and is waited for."""


@cache
def records_client() -> Redis:
    return _open(get_celery_settings().records_url)


@cache
def messages_client() -> Redis:
    """Of the broker, where that is Redis; it leaves bytes as they are, for queues may hold anything."""
    return _open(get_celery_settings().records_url, decode_responses=False)


@cache
def results_client() -> Redis:
    return _open(get_celery_settings().result_backend)


def _open(url: str, *, decode_responses: bool = True) -> Redis:
    options: dict[str, Any] = {"decode_responses": decode_responses, "socket_timeout": 1, "socket_connect_timeout": 1}
    options["retry"] = Retry(NoBackoff(), 0)
    client: Redis = open_master(Sentinel, url, **options) if is_sentinel(url) else Redis.from_url(url, **options)
    return client
