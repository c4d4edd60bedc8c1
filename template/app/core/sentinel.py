"""Redis behind Sentinel, which is asked at each connection what server is the master: a failover needs no restart.

`sentinel://:password@host1:26379/1;sentinel://:password@host2:26379/1`, with the master's password and database. What a
master has acknowledged and not yet sent to its replica is lost with it: replication is asynchronous.
"""

from typing import Any

from kombu.utils.url import parse_url
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.core.config.celery import CelerySettings, get_celery_settings


def is_sentinel(url: str) -> bool:
    return url.startswith("sentinel://")


def open_master(sentinel: Any, url: str, **options: Any) -> Any:
    """A client, by redis-py's blocking class `Sentinel` or that for asyncio."""
    addresses = [parse_url(address) for address in url.split(";")]
    hosts = [(address["hostname"], address["port"] or 26379) for address in addresses]
    server = {
        "db": addresses[0]["virtual_host"],
        "username": addresses[0]["userid"],
        "password": addresses[0]["password"],
    }
    return sentinel(hosts, sentinel_kwargs=options, **options).master_for(
        get_celery_settings().sentinel_master, **server
    )


def options_for_celery(settings: CelerySettings) -> dict[str, Any]:
    """Of its transport and of its result backend."""
    asking = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": Retry(NoBackoff(), 0)}
    return {"master_name": settings.sentinel_master, "sentinel_kwargs": asking}
