"""Background work: broker, results, limits."""

from functools import cache
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, PositiveFloat, PositiveInt, model_validator
from pydantic_settings import SettingsConfigDict

from app.core.config.base import SecretUrl, ServiceSettings, load
from app.core.config.redis import check_redis_url


def _check_broker_url(url: str) -> str:
    if "://" not in url:
        raise ValueError("is no broker address such as redis://:password@host:6379/1")
    return _check_sentinels(url) if url.startswith("sentinel://") else url


def _check_results_url(url: str) -> str:
    return _check_sentinels(url) if url.startswith("sentinel://") else check_redis_url(url)


def _check_sentinels(url: str) -> str:
    addresses = [urlsplit(address) for address in url.split(";")]
    if not all(address.scheme == "sentinel" and address.hostname for address in addresses):
        raise ValueError("is no list such as sentinel://:password@host1:26379/1;sentinel://:password@host2:26379/1")
    if len({(address.username, address.password, address.path) for address in addresses}) > 1:
        raise ValueError("names more than one password or database; at each sentinel, give those of the master")
    return url


def _check_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is no time zone such as UTC or Europe/Berlin") from None
    return name


class CelerySettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="CELERY_")

    broker_url: Annotated[SecretUrl, AfterValidator(_check_broker_url)]
    result_backend: Annotated[SecretUrl, AfterValidator(_check_results_url)]
    sentinel_master: str = "mymaster"
    """The name under which sentinels know the servers, where the addresses above begin with `sentinel://`."""
    timezone: Annotated[str, AfterValidator(_check_timezone)] = "UTC"
    """In which the crontabs of the schedule are read; everything else is in UTC."""
    task_soft_time_limit: PositiveInt = 300
    """Seconds after which a task is asked to stop, ..."""
    task_time_limit: PositiveInt = 360
    """... and after which its process is killed."""
    result_expires: PositiveInt = 86_400
    worker_concurrency: PositiveInt = 2
    worker_max_tasks_per_child: PositiveInt = 1_000
    worker_soft_shutdown_timeout: PositiveFloat = 30
    """Seconds that running tasks have to end when the worker is told to stop."""
    cancel_grace: PositiveFloat = 5
    """Seconds that a running task has to end by itself when it is cancelled."""
    queue_deadline: PositiveFloat = 1
    """Seconds after which a request that queues or reads a task gives up on Redis."""

    @property
    def broker_is_redis(self) -> bool:
        return self.broker_url.startswith(("redis://", "rediss://", "sentinel://"))

    @property
    def broker_is_rabbitmq(self) -> bool:
        return self.broker_url.startswith(("amqp://", "amqps://", "pyamqp://"))

    @property
    def records_url(self) -> str:
        """Where the records of tasks are kept: beside their messages, if that is in Redis."""
        return self.broker_url if self.broker_is_redis else self.result_backend

    @model_validator(mode="after")
    def _soft_before_hard(self) -> Self:
        if self.task_soft_time_limit >= self.task_time_limit:
            raise ValueError("CELERY_TASK_SOFT_TIME_LIMIT must be below CELERY_TASK_TIME_LIMIT")
        return self


@cache
def get_celery_settings() -> CelerySettings:
    return load(CelerySettings)
