"""The starts of a task, and its cancellation, as workers find them in its record."""

from collections.abc import Callable
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from app.core import task_record
from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.task_record import Start, forget_start, note_start

KEY = record_key("task")


def test_starts_are_counted_for_each_try(broker: Redis) -> None:
    assert [note_start("task", 0).number for _ in range(3)] == [1, 2, 3]
    assert [note_start("task", 1).number for _ in range(2)] == [1, 2]


def test_a_start_that_was_handed_back_does_not_count(broker: Redis) -> None:
    note_start("task", 2)
    forget_start("task", 2)
    assert note_start("task", 2).number == 1


def test_a_cancelled_task_is_told_so(broker: Redis) -> None:
    assert note_start("task", 0) == Start(1, cancelled=False)
    broker.hset(KEY, "cancelled", "1")
    assert note_start("task", 0) == Start(2, cancelled=True)


def test_a_start_keeps_the_record_for_as_long_as_a_push_does(broker: Redis) -> None:
    broker.hset(KEY, "name", "users.cleanup")
    broker.expire(KEY, 60)
    note_start("task", 0)
    assert RECORD_SECONDS - 60 < broker.ttl(KEY) <= RECORD_SECONDS


def test_a_start_waits_for_redis(
    broker: Redis, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    away = [RedisConnectionError("away"), RedisConnectionError("still away")]
    script = task_record._note_start()

    def note(**arguments: Any) -> Any:
        if away:
            raise away.pop()
        return script(**arguments)

    pauses: list[float] = []
    monkeypatch.setattr(task_record, "_note_start", lambda: note)
    monkeypatch.setattr("app.core.task_record.time.sleep", pauses.append)
    assert note_start("task", 0).number == 1
    assert pauses == [1, 1]
    assert [event["level"] for event in log()] == ["warning", "warning"]
