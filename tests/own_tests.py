"""What a service's own tests need of this machine."""

import itertools

import pytest
from servers import PostgresServer, RedisServer

number = itertools.count()


def servers_at_hand(request: pytest.FixtureRequest, combination: str) -> tuple[dict[str, str], list[str]]:
    """Where the service's own tests find real servers, and the servers that this machine lacks."""
    addresses, lacking = {}, []
    if combination.endswith("postgresql"):
        try:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            addresses["TEST_DATABASE_URL"] = server.create_database(f"own_tests_{next(number)}")
        except pytest.skip.Exception:
            lacking.append("PostgreSQL")
    if not combination.startswith("bare"):
        try:
            redis: RedisServer = request.getfixturevalue("redis_server")
            addresses["TEST_REDIS_URL"] = redis.url()
        except pytest.skip.Exception:
            lacking.append("Redis")
    return addresses, lacking


def skip_for_want_of(lacking: list[str]) -> None:
    if lacking:
        pytest.skip(f"green, but without the tests that need {' and '.join(lacking)}")
