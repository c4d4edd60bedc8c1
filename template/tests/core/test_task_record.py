"""The starts of a task, and its cancellation, as workers find them in its record."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from app.core import task_record
from app.core.task_delivery import Deliveries
from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.task_record import Start, note_failure, note_replacement, note_start
from app.core.worker_redis import records_client

QUEUE = "default"
KEY = record_key("task")
WITHOUT = None
"""A delivery: the broker is not Redis."""


@pytest.fixture
def receive(deliveries: Deliveries) -> Callable[[], str]:
    """The delivery of the task, which was queued."""
    message = {"headers": {"id": "task"}, "properties": {"delivery_tag": "tag"}}
    deliveries.push(QUEUE, message, {"name": "users.cleanup"})

    def receive() -> str:
        received = deliveries.receive([QUEUE])
        assert received
        return str(received.delivery)

    return receive


def test_starts_are_counted_for_each_try(broker: Redis) -> None:
    assert [note_start("task", 0, WITHOUT) for _ in range(3)] == [Start(n, cancelled=False) for n in (1, 2, 3)]
    assert [note_start("task", 1, WITHOUT) for _ in range(2)] == [Start(n, cancelled=False) for n in (1, 2)]


def test_each_delivery_is_a_start(receive: Callable[[], str], deliveries: Deliveries) -> None:
    for number in (1, 2, 3):
        delivery = receive()
        assert note_start("task", 0, delivery) == Start(number, cancelled=False)
        deliveries.give_back(delivery)


def test_a_start_whose_answer_was_lost_counts_once(receive: Callable[[], str]) -> None:
    delivery = receive()
    starts = [note_start("task", 0, delivery) for _ in range(3)]
    assert starts == [Start(1, cancelled=False)] * 3


def test_a_task_whose_message_another_worker_has_does_not_start(
    receive: Callable[[], str], deliveries: Deliveries
) -> None:
    lapsed = receive()
    deliveries.give_back(lapsed)
    assert note_start("task", 0, lapsed) is None
    delivery = receive()
    assert note_start("task", 0, lapsed) is None
    assert note_start("task", 0, delivery) == Start(1, cancelled=False)


def test_a_task_whose_record_has_expired_starts_while_its_message_is_held(
    receive: Callable[[], str], deliveries: Deliveries, broker: Redis
) -> None:
    delivery = receive()
    broker.delete(KEY)
    assert [note_start("task", 0, delivery) for _ in range(2)] == [Start(1, cancelled=False)] * 2
    deliveries.settle(delivery)
    assert note_start("task", 0, delivery) is None


def test_a_cancelled_task_is_told_so(broker: Redis) -> None:
    assert note_start("task", 0, WITHOUT) == Start(1, cancelled=False)
    broker.hset(KEY, "cancelled", "1")
    assert note_start("task", 0, WITHOUT) == Start(2, cancelled=True)


def test_a_part_is_told_that_the_whole_was_cancelled(broker: Redis) -> None:
    broker.hset(KEY, "cancelled", "1")
    assert note_start("part", 0, WITHOUT, root_id="task") == Start(1, cancelled=True)
    assert note_start("other part", 0, WITHOUT, root_id="other") == Start(1, cancelled=False)


def test_a_failure_keeps_the_arguments_of_the_task_that_handed_its_id_on(broker: Redis) -> None:
    broker.hset(KEY, "name", "users.cleanup")
    note_replacement("task", SimpleNamespace(args=[], kwargs={"days": 9}))
    note_replacement("task", SimpleNamespace(args=[], kwargs={"part": 1}))
    note_failure("task", SimpleNamespace(args=[], kwargs={"part": 2}))
    assert broker.hmget(KEY, "failed", "arguments") == ["1", '[[], {"days": 9}]']


def test_arguments_that_were_not_known_at_first_are_kept_later(broker: Redis) -> None:
    broker.hset(KEY, "name", "users.cleanup")
    note_failure("task", None)
    note_failure("task", SimpleNamespace(args=[], kwargs={"days": 9}))
    assert broker.hget(KEY, "arguments") == '[[], {"days": 9}]'


def test_a_start_keeps_the_record_for_as_long_as_a_push_does(broker: Redis) -> None:
    broker.hset(KEY, "name", "users.cleanup")
    broker.expire(KEY, 60)
    note_start("task", 0, WITHOUT)
    assert RECORD_SECONDS - 60 < broker.ttl(KEY) <= RECORD_SECONDS


def test_a_start_waits_for_redis(
    broker: Redis, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    away = [RedisConnectionError("away"), RedisConnectionError("still away")]
    client: Any = records_client()

    def evaluate(*command: Any) -> Any:
        if away:
            raise away.pop()
        return client.eval(*command)

    pauses: list[float] = []
    monkeypatch.setattr(task_record, "records_client", lambda: SimpleNamespace(eval=evaluate))
    monkeypatch.setattr("app.core.task_record.time.sleep", pauses.append)
    assert note_start("task", 0, WITHOUT) == Start(1, cancelled=False)
    assert pauses == [1, 1]
    assert [event["level"] for event in log()] == ["warning", "warning"]
