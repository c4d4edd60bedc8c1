"""What Docker asks workers and beat."""

import socket
import sys
import time

import pytest
from redis import Redis

from app.core import health_check

SIGNS = {"worker": ("workers", f"celery@{socket.gethostname()}"), "beat": ("beats", socket.gethostname())}


@pytest.fixture(params=SIGNS)
def who(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", ["health_check", request.param])
    return str(request.param)


def test_one_that_gave_a_sign_lately_is_healthy(results: Redis, who: str) -> None:
    key, name = SIGNS[who]
    results.zadd(key, {name: time.time() - 10})
    health_check.main()


def test_one_that_has_fallen_silent_is_not(results: Redis, who: str) -> None:
    key, name = SIGNS[who]
    results.zadd(key, {name: time.time() - 20})
    with pytest.raises(SystemExit, match=f"no sign of {name} for 20 seconds"):
        health_check.main()


def test_the_sign_of_another_does_not_count(results: Redis, who: str) -> None:
    key, name = SIGNS[who]
    results.zadd(key, {f"{name}-2": time.time()})
    with pytest.raises(SystemExit, match=f"no sign of {name} yet"):
        health_check.main()


def test_it_says_so_when_redis_is_away(monkeypatch: pytest.MonkeyPatch, refusing_url: str, who: str) -> None:
    away = Redis.from_url(refusing_url)
    monkeypatch.setattr(health_check, "results_client", lambda: away)
    with pytest.raises(SystemExit, match="Redis does not answer"):
        health_check.main()
