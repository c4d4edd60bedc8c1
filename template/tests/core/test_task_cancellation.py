"""Workers end what was cancelled."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.worker import state
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.core.task_cancellation import Cancellation
from app.core.task_keys import record_key


class Running:
    """What the worker knows of a task that it has started."""

    def __init__(self, task_id: str, root_id: str | None = None, ends: bool = True) -> None:
        self.id = task_id
        self.root_id = root_id
        self.ends = ends
        self.terminated: list[str] = []

    def terminate(self, _pool: object, signal: str) -> None:
        self.terminated.append(signal)
        if not self.ends:
            raise NotImplementedError


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    kept: list[Any] = []  # the set refers to them weakly

    def start(task_id: str, **options: Any) -> Running:
        kept.append(Running(task_id, **options))
        state.active_requests.add(kept[-1])
        return kept[-1]  # type: ignore[no-any-return]

    yield start
    for task in kept:
        state.active_requests.discard(task)


def test_only_what_was_cancelled_is_terminated(run: Callable[..., Running], broker: Redis) -> None:
    cancelled, other = run("cancelled"), run("other")
    broker.hset(record_key("cancelled"), "cancelled", "1")
    broker.hset(record_key("other"), "name", "other")
    Cancellation(None, grace=0).look()
    assert (cancelled.terminated, other.terminated) == (["SIGTERM"], [])


def test_what_came_of_a_cancelled_task_is_terminated(run: Callable[..., Running], broker: Redis) -> None:
    part, other = run("part", root_id="cancelled"), run("other", root_id="other")
    broker.hset(record_key("cancelled"), "cancelled", "1")
    Cancellation(None, grace=0).look()
    assert (part.terminated, other.terminated) == (["SIGTERM"], [])


def test_it_has_its_time_to_end_by_itself(
    run: Callable[..., Running], broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("app.core.task_cancellation.time.monotonic", lambda: clock[0])
    task = run("cancelled")
    broker.hset(record_key("cancelled"), "cancelled", "1")
    cancellation = Cancellation(None, grace=5)
    cancellation.look()
    clock[0] += 4.9
    cancellation.look()
    assert task.terminated == []
    clock[0] += 0.2
    cancellation.look()
    assert task.terminated == ["SIGTERM"]


def test_what_cannot_be_terminated_is_tried_once(run: Callable[..., Running], broker: Redis) -> None:
    task = run("cancelled", ends=False)
    broker.hset(record_key("cancelled"), "cancelled", "1")
    cancellation = Cancellation(None, grace=0)
    cancellation.look()
    cancellation.look()
    assert len(task.terminated) == 1


def test_while_redis_is_away_nothing_is_terminated(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> list[bool]:
        raise RedisConnectionError

    monkeypatch.setattr("app.core.task_cancellation.are_cancelled", refuse)
    task = run("cancelled")
    Cancellation(None, grace=0).look()
    assert task.terminated == []
