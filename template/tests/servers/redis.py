"""The Redis of TEST_REDIS_URL, or else an embedded one, which is slow and in this process.

The tests take its databases 13 to 15, and empty them.
"""

import os
import threading
from urllib.parse import urlsplit

import pytest
from fakeredis import TcpFakeServer
from redis import Redis

from tests.servers import lacking


def start_embedded_redis() -> str:
    server = TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True  # an open connection keeps no test run from ending
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"redis://127.0.0.1:{server.server_address[1]}"


URL = urlsplit(os.environ.get("TEST_REDIS_URL") or start_embedded_redis())
os.environ["REDIS_URL"] = URL._replace(path="/13").geturl()


@pytest.fixture
def redis_server() -> None:
    """Its databases are empty."""
    for number in (13, 14, 15):
        with Redis.from_url(URL._replace(path=f"/{number}").geturl()) as client:
            client.flushdb()


@pytest.fixture
def real_redis(redis_server: None) -> None:
    if not os.environ.get("TEST_REDIS_URL"):
        lacking("a Redis server", "TEST_REDIS_URL")
