"""Redis as workers and beat look into it: blocking clients that try once, and give up soon.

Whoever uses one goes on without an answer. What has to be written down waits for Redis instead: see result_backend.py.
"""

from functools import cache

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.core.config.celery import get_celery_settings


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
    retry = Retry(NoBackoff(), 0)
    return Redis.from_url(
        url, decode_responses=decode_responses, socket_timeout=1, socket_connect_timeout=1, retry=retry
    )
