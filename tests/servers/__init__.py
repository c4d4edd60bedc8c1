"""Real servers for tests: each in a temporary folder, on a free port of this machine, ended by its process id."""

from servers.postgresql import PostgresServer
from servers.process import HOST, end, free_port, running, wait_until
from servers.programs import find_postgresql, find_redis, unavailable
from servers.proxy import Proxy
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer, WatchedRedis

__all__ = [
    "HOST",
    "PostgresServer",
    "Proxy",
    "RabbitServer",
    "RedisServer",
    "WatchedRedis",
    "end",
    "find_postgresql",
    "find_redis",
    "free_port",
    "running",
    "unavailable",
    "wait_until",
]
