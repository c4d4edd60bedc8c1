"""The service looks after itself."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from celery.exceptions import Retry

from app.core.redis import cache
from app.tasks import system


@pytest.fixture
def cache_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse() -> None:
        raise ConnectionRefusedError("the cache")

    monkeypatch.setattr(cache, "check", refuse)


@pytest.fixture
def in_worker() -> Iterator[None]:
    """As in a worker, which is asked by a message and not by a call."""
    system.check.push_request(id="0198c7a4", called_directly=False, is_eager=True, retries=0)
    yield
    system.check.pop_request()


def test_heartbeat_answers_with_the_time() -> None:
    before = datetime.now(UTC)
    assert before <= datetime.fromisoformat(system.heartbeat()) <= datetime.now(UTC)


def test_check_names_what_answered(redis_server: None) -> None:
    assert system.check() == ["database", "redis"]


def test_check_is_tried_again_with_growing_pauses(cache_away: None, in_worker: None) -> None:
    pauses: list[float] = []
    for retries in range(5):
        system.check.request.retries = retries
        with pytest.raises(Retry) as error:
            system.check.run()
        assert isinstance(error.value.when, int | float)
        pauses.append(error.value.when)
    assert all(0 <= pause <= 2**retries for retries, pause in enumerate(pauses))


def test_check_gives_up_with_the_last_error(cache_away: None, in_worker: None) -> None:
    system.check.request.retries = 5
    with pytest.raises(ConnectionRefusedError, match="the cache"):
        system.check.run()
