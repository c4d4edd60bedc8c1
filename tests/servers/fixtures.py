"""One server of each kind for all tests."""

import os
import pwd
from collections.abc import Iterator

import pytest

from servers.postgresql import PostgresServer
from servers.process import running
from servers.programs import DEBIAN_RABBITMQ, find_postgresql, find_redis, unavailable
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer, WatchedRedis


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    program = find_redis()
    with running(lambda folder: RedisServer(program, folder)) as server:
        yield server


@pytest.fixture
def watched_redis() -> Iterator[WatchedRedis]:
    program = find_redis()
    with running(lambda folder: WatchedRedis(program, folder)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = find_postgresql()
    if os.getuid() == 0 and "postgres" not in (user.pw_name for user in pwd.getpwall()):
        unavailable("PostgreSQL cannot run as root, and there is no user postgres")
    with running(lambda folder: PostgresServer(programs, folder)) as server:
        server.query("CREATE ROLE service SUPERUSER LOGIN")
        yield server


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    if not DEBIAN_RABBITMQ.exists():
        unavailable("RabbitMQ (Debian's rabbitmq-server) is not installed")
    with running(RabbitServer) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url()


@pytest.fixture(scope="session")
def postgresql_url(postgres_server: PostgresServer) -> str:
    return postgres_server.url()
